from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.conftest import Command

COMMANDS = [
    ["serve"],
    ["check"],
    ["test"],
    ["routes"],
    ["plugins"],
    ["new-plugin"],
    ["events", "list"],
    ["events", "show"],
    ["events", "replay"],
    ["dead", "list"],
    ["dead", "show"],
    ["dead", "retry"],
    ["dead", "discard"],
    ["send"],
    ["instances", "list"],
    ["instances", "doctor"],
    ["instances", "sync"],
    ["simulate"],
    ["demo"],
    ["samples"],
    ["schema"],
]


@pytest.mark.parametrize("command", [[], *COMMANDS, ["events"], ["dead"]], ids=" ".join)
def test_every_command_explains_itself(router: Command, command: list[str]) -> None:
    ended = router(*command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Usage: router " in ended.out


@pytest.mark.parametrize("command", [[], ["events"], ["dead"]], ids=" ".join)
def test_a_noun_alone_is_wrong_usage_and_shows_its_verbs(router: Command, command: list[str]) -> None:
    ended = router(*command)
    assert ended.code == 2
    assert "--help" in ended.out + ended.err


WRONG_USAGE = [
    ["nonsense"],
    ["check", "--nonsense"],
    ["events", "list", "--status", "odd"],
    ["events", "list", "--limit", "0"],
    ["events", "list", "--limit", "99999999999999999999"],
    ["events", "list", "--instance", "x"],
    ["events", "show"],
    ["new-plugin"],
    ["dead", "show"],
    ["dead", "show", "x"],
    ["dead", "retry"],
    ["dead", "discard"],
    ["send"],
    ["serve", "--port", "x"],
    ["serve", "--port", "65536"],
]


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_is_2(router: Command, arguments: list[str]) -> None:
    ended = router(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: router " in ended.err


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if c[0] not in ("samples", "schema", "plugins", "new-plugin", "simulate", "demo")],
    ids=" ".join,
)
def test_a_configuration_that_is_not_there_is_a_problem(router: Command, command: list[str]) -> None:
    argument = {"show": ["1"], "replay": ["1"], "retry": ["1"], "discard": ["1"], "send": ["x"]}.get(
        command[-1], []
    )
    ended = router(*command, *argument, "--config", "gone.yaml")
    assert (ended.code, ended.out, ended.err) == (1, "", "gone.yaml: there is no such file\n")


def test_the_version_is_that_of_the_package(router: Command) -> None:
    ended = router("--version")
    assert (ended.code, ended.out) == (0, f"{version('green-event-router')}\n")


# Which routes.yaml


@pytest.fixture
def elsewhere(folder: Path) -> Path:
    """The same configuration under another name, and none under the usual one."""
    path = folder / "other.yaml"
    (folder / "routes.yaml").rename(path)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "other.yaml", "check"],
        ["check", "--config", "other.yaml"],
        ["--config", "gone.yaml", "check", "--config", "other.yaml"],
        ["--config", "other.yaml", "dead", "list"],
        ["dead", "list", "--config", "other.yaml"],
    ],
    ids=" ".join,
)
def test_the_configuration_may_be_named_before_and_after_the_command(
    router: Command, elsewhere: Path, arguments: list[str]
) -> None:
    ended = router(*arguments)
    assert elsewhere.exists()
    assert "other.yaml: no problems" in ended.out or "there is no inbox at router.db" in ended.err


def test_the_environment_may_name_the_configuration(
    router: Command, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_CONFIG", str(elsewhere))
    assert router("check").code == 0


def test_the_command_line_comes_before_the_environment(
    router: Command, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_CONFIG", "gone.yaml")
    assert router("--config", str(elsewhere), "check").code == 0
    assert router("check", "--config", str(elsewhere)).code == 0
    assert router("check").code == 1


# As a real process


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "router", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["check"], 0), (["check", "--config", "x"], 1), (["x"], 2)], ids=str
)
def test_the_module_is_the_command(folder: Path, arguments: list[str], code: int) -> None:
    ended = run(folder, *arguments)
    assert ended.returncode == code
    assert b"Traceback" not in ended.stdout + ended.stderr


def test_arguments_that_are_no_utf_8_are_merely_not_found(folder: Path) -> None:
    for arguments in (["samples"], ["schema"], ["send"], ["check", "--config"], ["routes", "--explain"]):
        command: list[str | bytes] = [sys.executable, "-m", "router", *arguments, b"\xff"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30)
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["--version", "check", "events list", "dead list", "samples"])
def test_a_command_that_needs_no_http_client_and_no_server_loads_none(command: str, folder: Path) -> None:
    script = f"""
import sys
from router.cli import main
sys.argv = ["router", *{command.split()!r}]
try:
    main()
except SystemExit:
    pass
sys.exit(bool({{"aiohttp", "uvicorn", "starlette"}} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr

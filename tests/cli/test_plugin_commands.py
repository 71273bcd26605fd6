"""``router PLUGIN COMMAND``: the commands that plugins offer."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.cli.conftest import Command

STOCK = """
import sys
import typer
from router import hookimpl
from router.errors import NotFound

def count(name: str, times: int = 1):
    \"\"\"Count what there is.\"\"\"
    print(" ".join([name] * times))

tools = typer.Typer(help="Tools.")

@tools.command()
def mend(dry: bool = False):
    \"\"\"Mend it.\"\"\"
    print("dry" if dry else "mended")

@tools.command()
def smash():
    raise ValueError("in pieces")

def fail():
    raise ValueError("no\\nstock")

def find():
    raise NotFound("there is none of that")

def leave(code: int):
    raise typer.Exit(code)

def exit(code: int):
    sys.exit(code)

def abort():
    raise typer.Abort

def refuse():
    raise typer.BadParameter("not like that")

@hookimpl
def register_commands(register):
    for each in (count, fail, find, leave, exit, abort, refuse):
        register(each.__name__, each)
    register("tools", tools)
"""


@pytest.fixture
def stock(folder: Path) -> Path:
    """A plugin with commands, in ``plugins_dir``."""
    path = folder / "plugins" / "stock.py"
    path.write_text(STOCK)
    return path


def write(folder: Path, name: str, source: str) -> None:
    (folder / "plugins" / f"{name}.py").write_text("from router import hookimpl\n" + dedent(source))


RUN = {
    "function": (["count", "box"], "box\n"),
    "option": (["count", "box", "--times", "2"], "box box\n"),
    "group": (["tools", "mend"], "mended\n"),
    "option of a command of a group": (["tools", "mend", "--dry"], "dry\n"),
}


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize(("arguments", "out"), RUN.values(), ids=RUN.keys())
def test_a_command_of_a_plugin_is_run(router: Command, arguments: list[str], out: str) -> None:
    ended = router("stock", *arguments)
    assert (ended.code, ended.out, ended.err) == (0, out, "")


HELP = {
    "plugin": (
        ["--help"],
        ["Commands of the plugin stock (plugins/stock.py)", "count", "Count what", "tools"],
    ),
    "nothing": ([], ["Commands of the plugin stock", "count"]),
    "function": (["count", "--help"], ["Count what there is.", "--times"]),
    "group": (["tools", "--help"], ["Tools.", "mend"]),
}


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize(("arguments", "shown"), HELP.values(), ids=HELP.keys())
def test_a_plugin_has_help(router: Command, arguments: list[str], shown: list[str]) -> None:
    ended = router("stock", *arguments)
    assert ended.code == (0 if arguments else 2)
    text = ended.out + ended.err
    assert [words for words in shown if words not in text] == []


CODES = {
    "expected error": (["find"], 1, "there is none of that"),
    "exit": (["leave", "7"], 7, ""),
    "sys.exit": (["exit", "5"], 5, ""),
    "abort": (["abort"], 1, "Aborted"),
    "bad parameter": (["refuse"], 2, "not like that"),
    "no such command": (["cuont"], 2, "No such command 'cuont'"),
    "no such option": (["count", "box", "--tmies", "2"], 2, "No such option"),
    "argument missing": (["count"], 2, "Missing argument"),
    "no number": (["count", "box", "--times", "x"], 2, "Invalid value for"),
}


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize(("arguments", "code", "err"), CODES.values(), ids=CODES.keys())
def test_a_command_has_an_exit_code(router: Command, arguments: list[str], code: int, err: str) -> None:
    ended = router("stock", *arguments)
    assert ended.code == code
    assert err in ended.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(["fail"], "ValueError: no stock"), (["tools", "smash"], "ValueError: in pieces")],
    ids=["function", "group"],
)
def test_what_a_command_raises_is_told_with_its_plugin(
    router: Command, stock: Path, arguments: list[str], error: str
) -> None:
    ended = router("stock", *arguments)
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    message = f"plugin 'stock' (plugins/stock.py): its command {arguments[0]!r} failed: {error} ("
    assert line.startswith(message)
    assert f"/{stock.name}:" in line


def test_what_is_neither_a_command_nor_a_plugin_is_no_command(router: Command) -> None:
    ended = router("stocks", "count")
    assert ended.code == 2
    assert "No such command 'stocks'" in ended.err


def test_a_plugin_without_commands_says_so(router: Command) -> None:
    ended = router("shop", "count")
    assert (ended.code, ended.err) == (1, "plugin 'shop' offers no commands: see 'router plugins shop'\n")


def test_a_command_of_the_router_comes_before_a_plugin_of_its_name(router: Command, folder: Path) -> None:
    (folder / "plugins" / "samples.py").write_text(STOCK)
    assert router("samples", "count", "box").code == 2


@pytest.mark.usefixtures("stock")
def test_commands_need_no_configuration_but_to_find_plugins_dir(router: Command, folder: Path) -> None:
    (folder / "routes.yaml").write_text("plugins_dir: plugins\nroutes: 5\n")
    assert router("stock", "count", "box").code == 0
    (folder / "routes.yaml").unlink()  # then nothing says where the plugin is
    assert router("stock", "count", "box").code == 2


@pytest.mark.usefixtures("stock")
def test_the_configuration_may_be_named(
    router: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert router("--config", "../routes.yaml", "stock", "count", "box").out == "box\n"


@pytest.mark.usefixtures("stock")
def test_only_the_plugin_that_is_named_is_loaded(router: Command, folder: Path) -> None:
    write(folder, "broken", "raise RuntimeError('no licence')")
    assert router("stock", "count", "box").code == 0


BROKEN = {
    "import": ("raise RuntimeError('no licence')", "cannot be imported: RuntimeError: no licence ("),
    "hook": (
        "@hookimpl\ndef register_commands(register): raise RuntimeError('no licence')",
        "its hook register_commands failed: RuntimeError: no licence (",
    ),
    "no command": (
        "@hookimpl\ndef register_commands(register): register('go', 5)",
        "registers command 'go', which is 5 and cannot be called",
    ),
    "parameters that cannot be read": (
        "def go(x: int | str): ...\n@hookimpl\ndef register_commands(register): register('go', go)",
        "registers command 'go', which cannot be used: ",
    ),
    "twice": (
        "@hookimpl\ndef register_commands(register):\n    register('go', print)\n    register('go', print)",
        "registers command 'go' twice",
    ),
}


@pytest.mark.parametrize(("source", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_plugin_that_cannot_be_used_is_told_in_one_line(
    router: Command, folder: Path, source: str, message: str
) -> None:
    write(folder, "broken", source)
    ended = router("broken", "go")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"plugin 'broken' (plugins/broken.py): {message}")
    assert ended.err.count("\n") == 1

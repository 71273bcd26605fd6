"""``router new-plugin``, and what can be done at once with what it makes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
import orjson
import pytest
from hatchling.builders.wheel import WheelBuilder
from starlette.testclient import TestClient

from router import samples
from router.app import build
from router.greenapi.simulator import Simulator
from router.loading import load
from router.testing.samples import DEFAULTS
from tests.cli.conftest import MESSAGE, Command, Server

FILES = {
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "router_order_desk/__init__.py",
    "router_order_desk/py.typed",
    "tests/event.json",
    "tests/test_order_desk.py",
}


def run(*arguments: str, cwd: Path, **environ: str) -> None:
    """Run a module of Python's; show what it prints if it fails."""
    ended = subprocess.run(
        [sys.executable, "-m", *arguments],
        check=False,
        cwd=cwd,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def route(readme: Path) -> str:
    """Return the route to paste."""
    found = re.findall(r"```yaml\n(routes:\n.*?)```", readme.read_text("utf-8"), re.DOTALL)
    return str(found[0])


def event(router: Command, **where: str) -> str:
    """Return the id of the newest event."""
    arguments = [text for name, value in where.items() for text in (f"--{name}", value)]
    return str(router("events", "list", "--json", *arguments).json[0]["id"])


# The package


def test_a_package_is_made_and_the_next_commands_are_told(router: Command, folder: Path) -> None:
    ended = router("new-plugin", "order-desk")
    assert (ended.code, ended.err) == (0, "")
    assert files(folder / "router-order-desk") == FILES
    assert ended.out == (
        "router-order-desk is there. Next:\n"
        "\n"
        "  pip install --no-build-isolation --no-deps -e router-order-desk\n"
        "  pytest router-order-desk\n"
        "  router check    # with the route of router-order-desk/README.md in routes.yaml\n"
    )


def test_nothing_of_the_template_is_left_but_its_text(router: Command, folder: Path) -> None:
    router("new-plugin", "order-desk")
    for path in (folder / "router-order-desk").rglob("*"):
        assert "greeter" not in path.name
        assert not path.is_file() or "greeter" not in path.read_text("utf-8")


def test_it_is_made_where_it_is_wanted(router: Command, folder: Path) -> None:
    ended = router("new-plugin", "order-desk", "--folder", "my own/plugins")
    assert ended.code == 0
    assert files(folder / "my own" / "plugins" / "router-order-desk") == FILES
    assert "pytest 'my own/plugins/router-order-desk'\n" in ended.out


def test_it_needs_no_routes_yaml(router: Command, folder: Path) -> None:
    (folder / "routes.yaml").unlink()
    assert router("new-plugin", "order-desk").code == 0


def test_where_nothing_can_be_built_pip_is_to_fetch_it(
    router: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "editables", None)  # as if it were not installed
    assert "  pip install -e router-order-desk\n" in router("new-plugin", "order-desk").out


# What is refused


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Order Desk", "a plugin cannot be named 'Order Desk': expected up to 40 small letters"),
        ("new-plugin", "a plugin cannot be named 'new-plugin': 'router new-plugin' is a command"),
        ("archive", "there is a plugin named 'archive' already: see 'router plugins archive'"),
        ("shop", "there is a plugin named 'shop' already: see 'router plugins shop'"),  # of plugins_dir
    ],
)
def test_a_name_that_is_no_good_is_refused(router: Command, folder: Path, name: str, message: str) -> None:
    before = files(folder)
    ended = router("new-plugin", name)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(message)
    assert files(folder) == before


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_there_is_left_alone(router: Command, folder: Path, is_file: bool) -> None:
    there = folder / "router-order-desk"
    there.write_text("mine") if is_file else there.mkdir()
    ended = router("new-plugin", "order-desk")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "router-order-desk: there is one already; expected a new folder\n"
    assert there.read_text() == "mine" if is_file else files(there) == set()


def test_a_folder_that_cannot_be_is_told(router: Command, folder: Path) -> None:
    (folder / "file").write_text("")
    ended = router("new-plugin", "order-desk", "--folder", "file")
    assert (ended.code, ended.err) == (1, "file/router-order-desk: cannot be made: Not a directory\n")


def test_a_package_that_could_not_be_written_is_removed(
    router: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def fail(path: Path, *arguments: Any) -> int:
        if path.name == "pyproject.toml":
            raise OSError(28, "No space left on device")
        return write(path, *arguments)

    monkeypatch.setattr(Path, "write_text", fail)
    ended = router("new-plugin", "order-desk")
    assert ended.err == "router-order-desk: cannot be written: No space left on device\n"
    assert not (folder / "router-order-desk").exists()


@pytest.mark.usefixtures("filled")
def test_an_event_has_to_be_there(router: Command, folder: Path) -> None:
    ended = router("new-plugin", "order-desk", "--from", "ffff")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("no event")
    assert not (folder / "router-order-desk").exists()


# From a stored event


@pytest.mark.usefixtures("filled")
def test_it_is_tested_with_a_stored_event(router: Command, folder: Path) -> None:
    id_ = event(router, type="incomingMessageReceived")
    ended = router("new-plugin", "order-desk", "--from", id_[:-1])
    assert (ended.code, ended.err) == (0, "")
    package = folder / "router-order-desk"
    body = orjson.loads((package / "tests" / "event.json").read_bytes())
    assert body["senderData"]["chatId"] == "10000000001@c.us"
    assert body["messageData"]["textMessageData"]["textMessage"] == "****************"
    assert "instances=[1234]" in (package / "tests" / "test_order_desk.py").read_text()


@pytest.mark.usefixtures("filled")
def test_an_invalid_event_is_refused(router: Command) -> None:
    ended = router("new-plugin", "order-desk", "--from", event(router, status="invalid"))
    assert (ended.code, ended.out) == (1, "")
    assert "is invalid, so no handler gets it: see 'router events show" in ended.err


def test_routes_that_no_longer_take_it_are_told(router: Command, filled: Path) -> None:
    text = (filled / "routes.yaml").read_text()
    asked = text.replace("name: messages,", "name: messages, when: {text: [{prefix: I use}]},")
    (filled / "routes.yaml").write_text(asked)
    ended = router("new-plugin", "order-desk", "--from", event(router, type="incomingMessageReceived"))
    assert ended.out.startswith(
        "Route 'messages' takes the event, but not without personal data: when: text: expected"
    )
    assert "'calls'" not in ended.out


# What can be done with it


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages."""
    return tmp_path / "site"


def install(package: Path, site: Path) -> None:
    """Build a package and unpack it, as pip does; hatchling needs no network for it."""
    [wheel] = WheelBuilder(str(package)).build(directory=str(site))
    zipfile.ZipFile(wheel).extractall(site)


@pytest.mark.usefixtures("filled")
def test_tests_types_and_style_are_in_order(router: Command, folder: Path) -> None:
    """Also with the longest name that there may be."""
    name = "a23456789-123456789-123456789-1234567890"
    router("new-plugin", name, "--from", event(router, type="incomingMessageReceived"))
    package = folder / f"router-{name}"
    run("pytest", "-q", cwd=package)
    run("mypy", "--strict", ".", cwd=package)
    run("ruff", "check", ".", cwd=package)
    run("ruff", "format", "--check", ".", cwd=package)


def one_of_each() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield names and bodies: an event of each type and messenger, and such as nobody replies to."""
    for number, name in enumerate(DEFAULTS.values()):
        yield f"type-{number}", orjson.loads(samples.read(name))
    message = orjson.loads(samples.read(MESSAGE))
    yield (
        "of-one-s-own",
        {"typeWebhook": "orderPaid", "instanceData": {"idInstance": 7}, "chatId": "7900123@c.us"},
    )
    yield "telegram", orjson.loads(samples.read("incomingMessageReceived/tg-text-user.json"))
    yield "max", orjson.loads(samples.read("incomingMessageReceived/max-group-text.json"))
    yield "unreadable", orjson.loads(samples.read("incomingMessageReceived/wa-error-swe003.json"))
    chat = message["senderData"]["chatId"]
    yield "own", {**message, "instanceData": {**message["instanceData"], "wid": chat}}


def test_the_tests_of_each_type_of_event_pass(router: Command, folder: Path) -> None:
    """In one process, since each would take its time to start."""
    all_of_them = "version: 1\nplugins_dir: plugins\nroutes: [{name: all, type: '*', handler: keep}]\n"
    (folder / "routes.yaml").write_text(all_of_them)
    bodies = dict(one_of_each())
    with TestClient(build(load(folder / "routes.yaml", {}))) as client:
        for name, body in bodies.items():
            id_ = client.post("/webhook", content=orjson.dumps(body)).json()["id"]
            ended = router("new-plugin", name, "--from", id_)
            assert (ended.code, ended.err) == (0, ""), name
    packages = [folder / f"router-{name}" for name in bodies]
    run(
        "pytest",
        "-q",
        "-o",
        "anyio_mode=auto",
        "--import-mode=importlib",
        *map(str, packages),
        cwd=folder,
        PYTHONPATH=os.pathsep.join(map(str, packages)),
    )


async def test_installed_it_replies_to_its_event(
    router: Command, folder: Path, site: Path, green_api: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router of its own, a GREEN-API, and the route of the README."""
    shop = green_api.add()
    router("new-plugin", "order-desk")
    install(folder / "router-order-desk", site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    instance = f'instances: [{{id: {shop.id}, api_url: "{green_api.url}", token: "{shop.token}"}}]'
    pasted = route(folder / "router-order-desk" / "README.md")
    (folder / "routes.yaml").write_text(f"version: 1\nlogging: {{format: json}}\n{instance}\n{pasted}")

    await anyio.to_thread.run_sync(lambda: run("router", "check", cwd=folder))
    server = Server(folder)
    try:
        to = await anyio.to_thread.run_sync(lambda: server.url)
        file = "router-order-desk/tests/event.json"
        await anyio.to_thread.run_sync(lambda: run("router", "send", file, "--to", to, cwd=folder))
        await shop.until(lambda shop: bool(shop.sent))
    finally:
        assert await anyio.to_thread.run_sync(server.stop) == 0
    assert [(sent.chat, sent.text) for sent in shop.sent] == [("79001234567@c.us", "Hello, Anna!")]

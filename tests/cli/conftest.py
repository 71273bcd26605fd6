from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from router import cli, samples
from router.app import build
from router.events import DeliveryStatus, JsonObject
from router.inbox import DeliveryFilter, DeliveryRecord
from router.inbox.sqlite.ledger import SqliteLedger
from router.loading import load
from tests.conftest import eventually

CALL = "incomingCall/wa-pickup.json"
MESSAGE = "incomingMessageReceived/wa-text-waba.json"

ROUTES_YAML = """
version: 1
plugins_dir: plugins
inbox: {url: "sqlite:///router.db"}
webhook: {token: ["Bearer of-the-router"]}
logging: {format: json}
routes:
  - name: calls
    type: incomingCall
    handler: keep
    tests:
      - {sample: incomingCall/wa-pickup.json, matches: true}
      - {sample: incomingMessageReceived/wa-text-waba.json, matches: false}
  - {name: messages, type: incomingMessageReceived, handler: refuse}
"""
#: Keeps calls; refuses messages until there is a file "open" beside it.
PLUGIN = """
from pathlib import Path
from router import GiveUp, hookimpl

def keep(event, context): ...

def refuse(event, context):
    if not Path(__file__).with_name("open").exists():
        raise GiveUp("closed")

@hookimpl
def register_handlers(register):
    register("keep", keep)
    register("refuse", refuse)
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


class Command:
    """Runs ``router`` in this process, as its entry point does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["router", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as exc:
            code = exc.code or 0
        ended = Ended(code, *self._capsys.readouterr())
        assert "Traceback" not in ended.out + ended.err
        return ended


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a routes.yaml and its plugin."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROUTER_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def router(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    assert folder.exists()
    return Command(monkeypatch, capsys)


def write_files(folder: Path, routes_yaml: str = ROUTES_YAML) -> None:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "shop.py").write_text(PLUGIN)
    (folder / "routes.yaml").write_text(routes_yaml)


def deliveries(folder: Path) -> list[DeliveryRecord]:
    with closing(SqliteLedger(folder / "router.db")) as ledger:
        return ledger.deliveries(DeliveryFilter())


def statuses(folder: Path) -> dict[int, DeliveryStatus]:
    return {delivery.id: delivery.status for delivery in deliveries(folder)}


@pytest.fixture
def filled(folder: Path) -> Path:
    """An inbox after a router has run on it: a call that is done, two messages that are dead, one invalid."""
    message = orjson.loads(samples.read(MESSAGE))
    bodies = [
        samples.read(CALL),
        orjson.dumps({**message, "idMessage": "FIRST"}),
        orjson.dumps({**message, "idMessage": "SECOND"}),
        b'{"typeWebhook": "incomingCall"}',
    ]
    with TestClient(build(load(folder / "routes.yaml", {}))) as client:
        for body in bodies:
            client.post("/webhook", content=body, headers={"Authorization": "of-the-router"})
        settled = {DeliveryStatus.DONE, DeliveryStatus.DEAD}
        eventually(lambda: set(statuses(folder).values()) <= settled)
    return folder


class Server:
    """A real ``router serve`` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._out = folder / "serve.out"
        self._err = folder / "serve.err"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            command = [sys.executable, "-m", "router", "serve", "--port", "0", *arguments]
            self.process = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=err)

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def lines(self) -> list[JsonObject]:
        whole = self._out.read_bytes().split(b"\n")[:-1]
        return [orjson.loads(line) for line in whole]

    def line(self, event: str) -> JsonObject:
        """Wait for a line about something."""

        def found() -> JsonObject | None:
            assert self.process.poll() is None, self.err
            return next((line for line in self.lines if line["event"] == event), None)

        return eventually(found)

    @property
    def url(self) -> str:
        url: str = self.line("router.started")["webhook"]
        return url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop; return its exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A router that runs during all tests; what they send it adds up."""
    folder = tmp_path_factory.mktemp("server")
    write_files(folder)
    server = Server(folder)
    server.line("router.started")
    yield server
    assert (server.stop(), server.err) == (0, "")
    assert "Traceback" not in str(server.lines)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

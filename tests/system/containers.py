"""Containers of the router's image."""

from __future__ import annotations

import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.system.engine import ROUTER_IMAGE, Engine
from tests.system.harness import PATIENCE, Router

#: As few rights as a container can have.
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
#: The user that the image names.
USER = 10001
#: Writes down what it handles as the harness's does, with a number of its own for each life: in a container
#: every process is number 1.
KEEP = """\
import os
import ssl
from pathlib import Path
from typing import Self

from router import hookimpl

life = int.from_bytes(os.urandom(6), "big")
record = os.open(Path(__file__).parent.parent / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


async def keep(event, context):
    for what in ("start", "end"):
        os.write(record, f"{life} {context.delivery.route} {what} {event.text}\\n".encode())


@hookimpl
def register_handlers(register):
    register("keep", keep)
"""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    #: In lower case.
    headers: dict[str, str]


def ask(
    url: str, body: bytes | None = None, *, token: str = "", context: ssl.SSLContext | None = None
) -> Answer:
    """Get a page, or post a body to it."""
    request = urllib.request.Request(url, data=body, headers={"Authorization": token} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
            return _answer(answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error)


def _answer(found: Any) -> Answer:
    return Answer(found.status, found.read(), {name.lower(): value for name, value in found.headers.items()})


@dataclass(frozen=True)
class Container:
    """A container by its name."""

    engine: Engine
    name: str

    @property
    def port(self) -> int:
        """The port of this machine that leads to the router's."""
        return int(self.engine.run("port", self.name, "8080/tcp").splitlines()[0].rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """Return what it wrote so far."""
        done = self.engine.attempt("logs", self.name)
        return done.stdout + done.stderr

    def exec(self, *command: str) -> str:
        """Run a command in it and return what that prints."""
        return self.engine.run("exec", self.name, *command)

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        self.engine.run("stop", "--time", str(int(PATIENCE)), self.name)
        return int(self.engine.inspect(self.name)["State"]["ExitCode"])

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has written something so often."""
        deadline = time.monotonic() + PATIENCE
        while self.log().count(text) < times:
            assert time.monotonic() < deadline, f"in vain waited for {text!r} in {self.log()}"
            time.sleep(0.05)

    def wait_until_healthy(self) -> None:
        """Wait until the engine says so."""
        deadline = time.monotonic() + PATIENCE
        while self.engine.inspect(self.name)["State"]["Health"]["Status"] != "healthy":
            assert time.monotonic() < deadline, f"not healthy: {self.log()}"
            time.sleep(0.1)


@contextmanager
def container(engine: Engine, *options: str, image: str = ROUTER_IMAGE) -> Iterator[Container]:
    """Run an image until the block ends."""
    name = engine.run("run", "--detach", "--publish=127.0.0.1::8080", *options, image)
    try:
        yield Container(engine, name)
    finally:
        engine.run("rm", "--force", "--volumes", name)


class ContainedRouter(Router):
    """A router in a container whose volume is a folder, with the routes and the plugin of the harness's."""

    def __init__(self, engine: Engine, folder: Path, *options: str) -> None:
        super().__init__(folder)
        (folder / "plugins" / "keep.py").write_text(KEEP)
        give_to_router(folder, folder / "plugins")
        self._engine = engine
        self._options = [f"--volume={folder}:/app/var", "--env=ROUTER_CONFIG=/app/var/routes.yaml", *options]
        self._container: Container | None = None
        self._starts = 0

    @property
    def container(self) -> Container:
        assert self._container is not None, "it was started"
        return self._container

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.run("rm", "--force", "--volumes", self.container.name)

    def run(self) -> None:
        """Start it, as a new container or the same one again; wait until it listens."""
        if self._container is None:
            name = self._engine.run(
                "run", "--detach", "--publish=127.0.0.1::8080", *self._options, ROUTER_IMAGE
            )
            self._container = Container(self._engine, name)
        else:
            self._engine.run("start", self.container.name)
        self._starts += 1
        self.container.wait_for('"event":"router.started"', self._starts)
        self.port = self.container.port

    def crash(self) -> int:
        """Kill it as a crash would; return its exit code."""
        self._engine.run("kill", "--signal=KILL", self.container.name)
        return int(self._engine.run("wait", self.container.name))

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        return self.container.stop()


def give_to_router(*paths: Path) -> None:
    """Let the image's user write there."""
    for path in paths:
        os.chown(path, USER, USER)

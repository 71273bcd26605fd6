"""``router demo``: the router and a simulated GREEN-API together, so that something happens at once."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from router import logs
from router.cli.listening import COULD_NOT_START, CannotListen, listen
from router.cli.running import Beside, run
from router.greenapi.simulator import Simulator
from router.jsontext import harmless
from router.loading import load
from router.redaction import Redactor

_HERE = "127.0.0.1"
#: GREEN-API posts again after a second, not a minute.
_SPEED = 60.0
_CHATS = 5
#: What goes wrong, so that one sees what comes of it.
_FAULTS = {"duplicate": 0.1, "unknown_type": 0.05, "missing_field": 0.03}
_INTRODUCTION = """\
A router and a simulated GREEN-API with two instances: the router polls the first, the second posts to its
webhook. Lines with the number of an instance are GREEN-API's, lines with a time the router's. Some
notifications come twice or are of a type that nobody knows, some handlers fail at first. Ctrl-C stops it.

routes.yaml and the plugin: {folder}
"""
_FAREWELL = """\
{queued} notifications, {taken} of them taken by the router.
To go on: router serve with a routes.yaml of your own, and router simulate in a second terminal.
"""


def demo(
    rate: Annotated[float, typer.Option(metavar="N", min=0.01, help="Notifications per second.")] = 1.0,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stop after this many notifications.")
    ] = None,
) -> None:
    """Show the router at work, without an account, until it is told to stop (SIGTERM, Ctrl-C)."""
    try:
        with TemporaryDirectory(prefix="router-demo-") as folder:
            _run(Path(folder), rate, count)
    except (CannotListen, OSError) as exc:
        print(exc, file=sys.stderr)
        raise typer.Exit(COULD_NOT_START) from None


def _run(folder: Path, rate: float, count: int | None) -> None:
    shipped = files("router").joinpath("demo")
    with as_file(shipped) as source:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        _say(_INTRODUCTION.format(folder=source))
    with listen(_HERE, 0) as webhook, listen(_HERE, 0) as api:
        simulator = Simulator(speed=_SPEED, seed=secrets.randbelow(1_000_000), faults=_FAULTS, tell=_say)
        environ = _set_up(simulator, webhook, api)
        loaded = load(folder / "routes.yaml", environ)
        lines = logs.configure(
            loaded.config.logging, Redactor(loaded.config.secrets), sys.stdout.buffer, cache=True
        )
        run(loaded, webhook, lines, _beside(simulator, api, rate, count))
    accounts = simulator.accounts
    taken = sum(len(account.deleted) for account in accounts)
    _say(_FAREWELL.format(queued=sum(account.queue.total for account in accounts), taken=taken))


def _set_up(simulator: Simulator, webhook: socket.socket, api: socket.socket) -> dict[str, str]:
    """Add the instances; return what ``routes.yaml`` refers to."""
    token = secrets.token_hex()
    polled = simulator.add()
    posting = simulator.add(
        settings={"webhookUrl": f"{_url(webhook)}/webhook", "webhookUrlToken": token},
    )
    return {
        "DEMO_API_URL": _url(api),
        "DEMO_TOKEN_1": polled.token,
        "DEMO_TOKEN_2": posting.token,
        "DEMO_WEBHOOK_TOKEN": token,
    }


def _url(listener: socket.socket) -> str:
    return f"http://{_HERE}:{listener.getsockname()[1]}"


def _beside(simulator: Simulator, api: socket.socket, rate: float, count: int | None) -> Beside:
    @asynccontextmanager
    async def beside(stop: Callable[[], None]) -> AsyncIterator[None]:
        async with simulator.serve_on(api), asyncio.TaskGroup() as tasks:
            happening = tasks.create_task(_happen(simulator, rate, count, stop))
            yield
            happening.cancel()

    return beside


async def _happen(simulator: Simulator, rate: float, count: int | None, stop: Callable[[], None]) -> None:
    """Let notifications happen; once there were enough and all are taken, stop."""
    await simulator.traffic(rate=rate, chats=_CHATS, count=count)
    for account in simulator.accounts:
        await account.until(lambda account: not len(account.queue), within=60)
    stop()


def _say(line: str) -> None:
    print(harmless(line), flush=True)

"""``router simulate``: a GREEN-API on this machine."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import sys
from collections import Counter
from typing import Annotated

import typer

from router.cli.listening import COULD_NOT_START, CannotListen, listen
from router.greenapi.simulator import Simulator
from router.greenapi.simulator.faults import UnknownFault, check
from router.jsontext import dump, harmless

#: A seed that is drawn is no longer than a person would type.
_SEEDS = 1_000_000


def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any.", min=0, max=65535)] = 8090,
    instances: Annotated[int, typer.Option(metavar="N", min=1, help="How many instances.")] = 1,
    rate: Annotated[
        float, typer.Option(metavar="N", min=0, help="Notifications per second, all instances together.")
    ] = 1.0,
    chats: Annotated[int, typer.Option(metavar="N", min=1, help="Chats of each instance.")] = 5,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Stop after this many notifications.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same seed makes the same notifications.")
    ] = None,
    speed: Annotated[
        float, typer.Option(metavar="N", min=0.001, help="How many times faster GREEN-API's times run.")
    ] = 1.0,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Post to this webhook; otherwise one polls.")
    ] = None,
    webhook_token: Annotated[
        str | None, typer.Option("--webhook-token", metavar="TOKEN", help="Token that is posted with.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PROBABILITY", help="Let something go wrong."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line for each thing that happens.")] = False,
) -> None:
    """Be a GREEN-API to try things with, until it is told to stop (SIGTERM, Ctrl-C)."""
    if webhook is not None and not webhook.startswith(("http://", "https://")):
        raise typer.BadParameter(f"--webhook {webhook}: expected a URL such as http://127.0.0.1:8080/webhook")
    simulator = Simulator(
        speed=speed,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        faults=_faults(fault or []),
        tell=None if quiet else _say,
    )
    for _ in range(instances):
        simulator.add(settings={"webhookUrl": webhook or "", "webhookUrlToken": webhook_token or ""})
    try:
        listener = listen(host, port)
    except CannotListen as exc:
        print(exc, file=sys.stderr)
        raise typer.Exit(COULD_NOT_START) from None
    with listener:
        asyncio.run(_run(simulator, listener, rate=rate, chats=chats, count=count))
    _say(_summary(simulator))


def _faults(given: list[str]) -> dict[str, float]:
    """Return faults and how likely they are."""
    parts = [each.partition("=") for each in given]
    try:
        faults = {name: float(probability) for name, _, probability in parts}
        check(faults)
    except ValueError:
        raise typer.BadParameter(
            f"--fault {' '.join(given)}: expected a name and a probability, such as duplicate=0.1"
        ) from None
    except UnknownFault as exc:
        raise typer.BadParameter(f"--fault: {exc}") from None
    return faults


async def _run(
    simulator: Simulator, listener: socket.socket, *, rate: float, chats: int, count: int | None
) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with simulator.serve_on(listener), asyncio.TaskGroup() as tasks:
        _say(_introduction(simulator))
        making = tasks.create_task(simulator.traffic(rate=rate, chats=chats, count=count)) if rate else None
        await told.wait()
        if making is not None:
            making.cancel()


def _introduction(simulator: Simulator) -> str:
    """Return what to put into routes.yaml."""
    first = simulator.accounts[0].settings
    lines = [f"GREEN-API is simulated at {simulator.url}, with seed {simulator.seed}. For routes.yaml:", ""]
    if first["webhookUrlToken"]:
        lines.append(f"webhook: {{token: {dump(first['webhookUrlToken'])}}}")
    transport = "webhook" if first["webhookUrl"] else "polling"
    lines.append("instances:")
    for account in simulator.accounts:
        where = f'id: {account.id}, api_url: "{simulator.url}", token: "{account.token}"'
        lines.append(f"  - {{{where}, transport: {transport}}}")
    return "\n".join([*lines, ""])


def _summary(simulator: Simulator) -> str:
    accounts = simulator.accounts
    posted = Counter(status == 200 for account in accounts for status in account.posted)
    return (
        f"{sum(account.queue.total for account in accounts)} queued, "
        f"{sum(len(account.deleted) for account in accounts)} deleted, "
        f"{sum(len(account.queue) for account in accounts)} waiting, "
        f"{sum(len(account.sent) for account in accounts)} sent; "
        f"webhooks answered 200: {posted[True]}, otherwise: {posted[False]}"
    )


def _say(line: str) -> None:
    print(harmless(line), flush=True)

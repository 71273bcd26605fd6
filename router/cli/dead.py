"""``router dead``: the dead letters, and what to do about them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from router import operations
from router.cli.options import (
    ChatOption,
    ConfigOption,
    InstanceOption,
    JsonOption,
    LimitOption,
    TypeOption,
)
from router.cli.output import show_facts, show_json, show_rows
from router.config import read
from router.events import DeliveryStatus
from router.inbox import DeliveryFilter, DeliveryRecord, Ledger

app = typer.Typer(help="Look at dead letters; retry or discard them.", no_args_is_help=True)

_COLUMNS = ["id", "settled_at", "route", "type", "instance", "chat", "attempts", "error"]
_CHANGED_COLUMNS = ["id", "route", "chat", "status"]
IdArguments = Annotated[list[int], typer.Argument(metavar="ID...", help="The deliveries' ids.")]


@app.command("list")
def list_dead(
    config: ConfigOption = Path(),
    route: Annotated[str | None, typer.Option("--route", help="Only this route.")] = None,
    type_: TypeOption = None,
    instance: InstanceOption = None,
    chat: ChatOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, oldest first."""
    where = DeliveryFilter(
        status=DeliveryStatus.DEAD, route=route, type=type_, instance=instance, chat=chat, limit=limit
    )
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        rows = [operations.delivery_json(record) for record in ledger.deliveries(where)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, _COLUMNS, "no dead letters")


@app.command()
def show(
    delivery_id: Annotated[int, typer.Argument(metavar="ID", help="The delivery's id.")],
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show one delivery with every attempt."""
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        delivery = operations.whole_delivery_json(ledger.delivery(delivery_id))
    if as_json:
        show_json(delivery)
        return
    history = delivery.pop("history")
    show_facts(delivery)
    for attempt in history:
        typer.echo()
        show_facts({name: value for name, value in attempt.items() if name != "traceback"})
        if attempt["traceback"]:
            typer.echo(attempt["traceback"].rstrip())


@app.command()
def retry(delivery_ids: IdArguments, config: ConfigOption = Path(), as_json: JsonOption = False) -> None:
    """Deliver dead letters again, each in its lane's order, with as many attempts as a new one."""
    _change(operations.retry, delivery_ids, config, as_json=as_json)


@app.command()
def discard(delivery_ids: IdArguments, config: ConfigOption = Path(), as_json: JsonOption = False) -> None:
    """Settle unfinished or dead deliveries as not to be handled."""
    _change(operations.discard, delivery_ids, config, as_json=as_json)


def _change(
    verb: Callable[[Ledger, Sequence[int]], list[DeliveryRecord]],
    delivery_ids: Sequence[int],
    config: Path,
    *,
    as_json: bool,
) -> None:
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        rows = [operations.delivery_json(record) for record in verb(ledger, delivery_ids)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, _CHANGED_COLUMNS, "nothing changed")

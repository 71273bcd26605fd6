"""``router events``: what came in, and what became of it."""

from __future__ import annotations

import os
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
from router.events import EventStatus
from router.inbox import EventFilter

app = typer.Typer(help="Look at the events in the inbox.", no_args_is_help=True)

_COLUMNS = ["id", "received_at", "type", "instance", "chat", "status", "duplicates"]
_DELIVERY_COLUMNS = ["id", "route", "status", "attempts", "error"]


@app.command("list")
def list_events(
    config: ConfigOption = Path(),
    type_: TypeOption = None,
    instance: InstanceOption = None,
    chat: ChatOption = None,
    status: Annotated[EventStatus | None, typer.Option(help="Only this status.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first."""
    where = EventFilter(type=type_, instance=instance, chat=chat, status=status, limit=limit)
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        rows = [operations.event_json(record) for record in ledger.events(where)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, _COLUMNS, "no events")


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id, or how it begins.")],
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show one event with its notification, problems and deliveries."""
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        event = operations.whole_event_json(ledger.event(event_id))
    if as_json:
        show_json(event)
        return
    deliveries = event.pop("deliveries")
    show_facts(event)
    typer.echo()
    show_rows(deliveries, _DELIVERY_COLUMNS, "no deliveries")

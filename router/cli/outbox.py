"""``router outbox``: what was sent to GREEN-API and may or may not have been done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from router import operations
from router.cli.options import ConfigOption, JsonOption, LimitOption
from router.cli.output import show_json, show_rows
from router.config import read
from router.events import JsonObject
from router.inbox import Ledger
from router.outbox import Doubt

app = typer.Typer(help="Look at what may or may not have been sent; decide.", no_args_is_help=True)

_COLUMNS = ["delivery", "key", "method", "instance", "chat", "at", "error"]
_DECIDED_COLUMNS = ["delivery", "key", "method", "chat"]
DeliveryArgument = Annotated[int, typer.Argument(metavar="DELIVERY", help="The delivery's id.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its key, as 'router outbox list' shows it.")]


@app.command("list")
def list_doubts(config: ConfigOption = Path(), limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """List what was sent, and nobody knows whether it was done."""
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        rows = [operations.doubt_json(doubt) for doubt in operations.doubts(ledger, limit)]
    _show(rows, _COLUMNS, as_json=as_json)


@app.command("sent")
def take_as_sent(
    delivery_id: DeliveryArgument,
    key: KeyArgument,
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Say that it arrived: later attempts take it as sent."""
    _decide(operations.take_as_sent, delivery_id, key, config, as_json=as_json)


@app.command("again")
def send_again(
    delivery_id: DeliveryArgument,
    key: KeyArgument,
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Say that it did not arrive: the next attempt sends it."""
    _decide(operations.send_again, delivery_id, key, config, as_json=as_json)


def _decide(
    decide: Callable[[Ledger, int, str], Doubt], delivery_id: int, key: str, config: Path, *, as_json: bool
) -> None:
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        doubt = decide(ledger, delivery_id, key)
    _show([operations.doubt_json(doubt)], _DECIDED_COLUMNS, as_json=as_json)


def _show(rows: Sequence[JsonObject], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, columns, "nothing is in doubt")

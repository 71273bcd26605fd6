"""``router dead``: the dead letters, and what to do about them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from router import operations
from router.cli.bulk import INTERRUPTED, carry_out, require_choice
from router.cli.options import (
    AllOption,
    BeforeOption,
    ChatOption,
    ConfigOption,
    DryRunOption,
    InstanceOption,
    JsonOption,
    LimitOption,
    RateOption,
    RouteOption,
    SinceOption,
    TypeOption,
)
from router.cli.output import show_facts, show_json, show_rows
from router.config import read
from router.events import DeliveryStatus, JsonObject
from router.inbox import DeliveryFilter, DeliveryRecord, Ledger
from router.pace import Pace

app = typer.Typer(help="Look at dead letters; retry or discard them.", no_args_is_help=True)

_COLUMNS = ["id", "settled_at", "route", "type", "instance", "chat", "attempts", "error"]
_CHANGED_COLUMNS = ["id", "route", "chat", "status"]
_COUNT_COLUMNS = ["route", "deliveries"]
IdArguments = Annotated[list[int] | None, typer.Argument(metavar="ID", help="The deliveries' ids.")]
ErrorOption = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Only with this in the error, in any case.")
]

Verb = Callable[[Ledger, Iterable[DeliveryRecord], Pace], Iterator[list[DeliveryRecord]]]


@app.command("list")
def list_dead(
    config: ConfigOption = Path(),
    route: RouteOption = None,
    type_: TypeOption = None,
    instance: InstanceOption = None,
    chat: ChatOption = None,
    error: ErrorOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, oldest first."""
    where = DeliveryFilter(
        status=DeliveryStatus.DEAD,
        route=route,
        type=type_,
        instance=instance,
        chat=chat,
        error=error,
        since=since,
        before=before,
    )
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        found = ledger.deliveries(where, limit)
        rows = [operations.delivery_json(record) for record in found]
    _show(rows, _COLUMNS, as_json=as_json)


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


def _offer(name: str, verb: Verb, allowed: frozenset[DeliveryStatus], what: str) -> None:
    """Add a command that changes deliveries; ``allowed`` are the statuses of those it takes by id."""

    @app.command(name, help=what)
    def change(
        delivery_ids: IdArguments = None,
        route: RouteOption = None,
        type_: TypeOption = None,
        instance: InstanceOption = None,
        chat: ChatOption = None,
        error: ErrorOption = None,
        since: SinceOption = None,
        before: BeforeOption = None,
        everything: AllOption = False,
        dry_run: DryRunOption = False,
        rate: RateOption = None,
        config: ConfigOption = Path(),
        as_json: JsonOption = False,
    ) -> None:
        where = DeliveryFilter(
            route=route, type=type_, instance=instance, chat=chat, error=error, since=since, before=before
        )
        require_choice(delivery_ids, where, everything=everything)
        with operations.ledger_of(read(config, os.environ).config()) as ledger:
            chosen = _choose(ledger, delivery_ids, where, allowed)
            if dry_run:
                _show_counts(chosen.counts, as_json=as_json)
            else:
                _change(verb, ledger, chosen, rate, as_json=as_json)


_offer(
    "retry",
    operations.retry,
    operations.RETRIABLE,
    "Deliver dead letters again, each in its lane's order, with as many attempts as a new one.",
)
_offer(
    "discard",
    operations.discard,
    operations.DISCARDABLE,
    "Settle dead letters as not to be handled; by id, unfinished deliveries too.",
)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a command line asks for, by ids or by a filter."""

    by_id: bool
    deliveries: Iterable[DeliveryRecord]
    #: How many of each route.
    counts: Mapping[str, int]


def _choose(
    ledger: Ledger, ids: Sequence[int] | None, where: DeliveryFilter, allowed: frozenset[DeliveryStatus]
) -> _Chosen:
    if ids:
        named = operations.named(ledger, ids, allowed)
        return _Chosen(by_id=True, deliveries=named, counts=Counter(each.route for each in named))
    dead = operations.dead(where)
    return _Chosen(by_id=False, deliveries=ledger.each_delivery(dead), counts=ledger.count(dead))


def _change(verb: Verb, ledger: Ledger, chosen: _Chosen, rate: int | None, *, as_json: bool) -> None:
    """Do it, and show each delivery as it is then, or for a filter how many there were."""
    counts: Counter[str] = Counter()
    is_finished = carry_out(
        lambda pace: verb(ledger, chosen.deliveries, pace),
        lambda batch: counts.update(each.route for each in batch),
        rate=rate,
        total=sum(chosen.counts.values()),
    )
    if not chosen.by_id:
        _show_counts(counts, as_json=as_json)
    else:
        rows = [operations.delivery_json(ledger.delivery(each.id)) for each in chosen.deliveries]
        _show(rows, _CHANGED_COLUMNS, as_json=as_json)
    if not is_finished:
        raise typer.Exit(INTERRUPTED)


def _show_counts(counts: Mapping[str, int], *, as_json: bool) -> None:
    rows = [{"route": route, "deliveries": count} for route, count in sorted(counts.items())]
    _show(rows, _COUNT_COLUMNS, as_json=as_json)


def _show(rows: Sequence[JsonObject], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, columns, "no dead letters")

"""``router events``: what came in, and what became of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
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
    SinceOption,
    TypeOption,
)
from router.cli.output import show_facts, show_json, show_rows
from router.config import read
from router.events import DeliveryStatus, EventStatus, JsonObject
from router.inbox import EventFilter, EventRecord, Ledger
from router.replay import ReplayedEvent, Replayer, ReplayResult
from router.routing import Table
from router.validation import Validator

app = typer.Typer(help="Look at the events in the inbox; replay them.", no_args_is_help=True)

_COLUMNS = ["id", "received_at", "type", "instance", "chat", "status", "duplicates"]
_DELIVERY_COLUMNS = ["id", "route", "status", "attempts", "error"]
_REPLAYED_COLUMNS = ["id", "result", "routes", "reason"]
_COUNT_COLUMNS = ["result", "route", "events"]
StatusOption = Annotated[EventStatus | None, typer.Option("--status", help="Only this status.")]


@app.command("list")
def list_events(
    config: ConfigOption = Path(),
    type_: TypeOption = None,
    instance: InstanceOption = None,
    chat: ChatOption = None,
    status: StatusOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    delivery: Annotated[
        DeliveryStatus | None, typer.Option("--delivery", help="Only with a delivery of this status.")
    ] = None,
    route: Annotated[str | None, typer.Option("--route", help="Only with a delivery to this route.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first."""
    where = EventFilter(
        type=type_,
        instance=instance,
        chat=chat,
        status=status,
        since=since,
        before=before,
        delivery=delivery,
        route=route,
    )
    with operations.ledger_of(read(config, os.environ).config()) as ledger:
        rows = [operations.event_json(record) for record in ledger.events(where, limit)]
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


@app.command()
def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The events' ids, or how they begin.")
    ] = None,
    type_: TypeOption = None,
    instance: InstanceOption = None,
    chat: ChatOption = None,
    status: StatusOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    everything: AllOption = False,
    route: Annotated[
        str | None, typer.Option("--route", help="Deliver to this route only, if it takes the event.")
    ] = None,
    dry_run: DryRunOption = False,
    rate: RateOption = None,
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Match events with the routes of today, and deliver them again."""
    where = EventFilter(type=type_, instance=instance, chat=chat, status=status, since=since, before=before)
    require_choice(event_ids, where, everything=everything)
    settings = read(config, os.environ).config()
    with operations.ledger_of(settings) as ledger:
        replayer = Replayer(ledger, Validator(), Table(settings.routes), route=route)
        events = _named(ledger, event_ids) if event_ids else ledger.each_event(where)
        report = _Report(each=as_json or bool(event_ids))
        is_finished = carry_out(
            lambda pace: replayer.replay(events, pace, dry_run=dry_run),
            report.take,
            rate=rate,
            total=len(event_ids) if event_ids else None,
        )
    report.show(as_json=as_json)
    if not is_finished:
        raise typer.Exit(INTERRUPTED)
    if event_ids and report.has_refused:
        raise typer.Exit(1)


def _named(ledger: Ledger, event_ids: Iterable[str]) -> list[EventRecord]:
    """Return the events of these ids, each once."""
    return list({event.id: event for event in map(ledger.event, event_ids)}.values())


class _Report:
    """What became of events: of each, or how many of each kind, since there may be very many."""

    def __init__(self, *, each: bool) -> None:
        self._each = each
        self._rows: list[JsonObject] = []
        self._counts: Counter[tuple[str, str | None]] = Counter()

    @property
    def has_refused(self) -> bool:
        """Whether some event was not replayed."""
        return any(result != ReplayResult.REPLAYED for result, _ in self._counts)

    def take(self, batch: Sequence[ReplayedEvent]) -> None:
        """Take in some more."""
        if self._each:
            self._rows += map(operations.replayed_json, batch)
        for replayed in batch:
            self._counts.update((replayed.result.value, route) for route in replayed.routes or (None,))

    def show(self, *, as_json: bool) -> None:
        """Show it to a person or a script."""
        if as_json:
            show_json(self._rows)
        elif self._each:
            show_rows(self._rows, _REPLAYED_COLUMNS, "no events")
        else:
            counted = sorted(self._counts.items(), key=lambda item: (item[0][0], item[0][1] or ""))
            rows = [{"result": result, "route": route, "events": n} for (result, route), n in counted]
            show_rows(rows, _COUNT_COLUMNS, "no events")

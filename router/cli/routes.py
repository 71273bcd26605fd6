"""``router routes``: the routes, and which of them a notification would take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from router.cli.notifications import event_of, read_notification
from router.cli.options import ConfigOption, JsonOption
from router.cli.output import show_json, show_rows
from router.events import Event, JsonObject
from router.loading import load
from router.routing import Route, Table

ExplainOption = Annotated[
    str | None,
    typer.Option("--explain", metavar="FILE", help="Say of each route whether it takes this notification."),
]


def routes(config: ConfigOption = Path(), explain: ExplainOption = None, as_json: JsonOption = False) -> None:
    """List the routes, or explain which of them get a notification (a file, a sample, - for stdin)."""
    table = Table(load(config, os.environ).config.routes)
    if explain is None:
        rows, columns = (
            [_route(route) for route in table.routes],
            ["name", "types", "handler", "order", "stop"],
        )
    else:
        event = event_of(read_notification(explain))
        rows, columns = _explained(table, event), ["route", "matched", "reason"]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, columns, "there are no routes")


def _route(route: Route) -> JsonObject:
    return {
        "name": route.name,
        "types": list(route.types),
        "handler": route.handler,
        "order": route.order.value,
        "timeout": route.timeout,
        "concurrency": route.concurrency,
        "attempts": route.retry.attempts,
        "stop": route.stop,
    }


def _explained(table: Table, event: Event) -> list[JsonObject]:
    return [{"route": e.route, "matched": e.matched, "reason": e.reason} for e in table.explain(event)]

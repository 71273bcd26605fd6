"""Options that several commands take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from router import clock
from router.units import seconds


@dataclass(frozen=True, slots=True)
class Settings:
    """What was said before the command's name."""

    config: Path


def _config(context: typer.Context, value: Path) -> Path:
    settings: Settings = context.obj
    return settings.config if value == Path() else value


def _moment(text: str) -> datetime:
    """Return the time that is meant: an age counts back from now, a time without a zone is UTC."""
    try:
        return clock.now() - timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"bad time {text!r}: expected an age such as 2h or 7d, or a time such as 2026-11-24T08:00"
        ) from None


#: ``--config`` may stand before or after the command's name.
ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        callback=_config,
        show_default=False,
        help="The routes.yaml to use; otherwise the one that ROUTER_CONFIG names.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Show one JSON document.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many to list at most.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Only this typeWebhook.")]
InstanceOption = Annotated[int | None, typer.Option("--instance", help="Only this idInstance.")]
ChatOption = Annotated[str | None, typer.Option("--chat", help="Only this chat.")]
RouteOption = Annotated[str | None, typer.Option("--route", help="Only this route.")]
#: An age or a time; exclusive where it is the end.
SinceOption = Annotated[
    datetime | None,
    typer.Option("--since", metavar="TIME", parser=_moment, help="Only from this time on: 2h, 7d, a date."),
]
BeforeOption = Annotated[
    datetime | None, typer.Option("--before", metavar="TIME", parser=_moment, help="Only before this time.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All there are; instead of ids or a filter.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
RateOption = Annotated[
    int | None, typer.Option("--rate", metavar="N", min=1, help="At most this many per second.")
]

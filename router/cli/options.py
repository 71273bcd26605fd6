"""Options that several commands take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True)
class Settings:
    """What was said before the command's name."""

    config: Path


def _config(context: typer.Context, value: Path) -> Path:
    settings: Settings = context.obj
    return settings.config if value == Path() else value


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

"""``router samples``: real notifications to try things with."""

from __future__ import annotations

from typing import Annotated

import typer

from router import samples as shipped
from router.cli.options import JsonOption
from router.cli.output import show_json, show_rows


def samples(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the shipped notifications, or show one."""
    if name is not None:
        typer.echo(shipped.read(name).rstrip())
        return
    rows = [{"name": each, "source": shipped.source(each)} for each in shipped.names()]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, ["name", "source"], "no samples")

"""``router archive check`` and ``router archive parquet``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from router import now
from router_archive.check import Checked, check_folder
from router_archive.days import logs_until

Folder = Annotated[
    Path, typer.Argument(help="A folder of the archive.", exists=True, file_okay=False, readable=True)
]


def check(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Count the events of each day, and name lines that are damaged.

    Exits with 1 if there are any, or a file cannot be read.
    """
    found = check_folder(folder)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        for each in found:
            typer.echo(_told(each))
    if any(each.damaged or each.error for each in found):
        raise typer.Exit(1)


def parquet(folder: Folder) -> None:
    """Turn all days that are over into Parquet, whatever the option format of the route is."""
    try:
        from router_archive.parquet import Busy, NotVerified, convert  # noqa: PLC0415 - pyarrow is not always there
    except ImportError:
        typer.echo("it needs pyarrow: install green-event-router-archive[parquet]", err=True)
        raise typer.Exit(1) from None
    for log in logs_until(folder, now().date()):
        try:
            done = convert(log)
        except (OSError, ValueError, Busy, NotVerified) as exc:
            typer.echo(f"{log}: {exc}", err=True)
            raise typer.Exit(1) from None
        typer.echo(f"{done.file}: {done.rows} events" + (f", {done.damaged} damaged" if done.damaged else ""))


def _told(checked: Checked) -> str:
    if checked.error:
        return f"{checked.file}: {checked.error}"
    parts = [f"{checked.events} events"]
    if checked.again:
        parts.append(f"{checked.again} lines more of the same events")
    if checked.damaged:
        parts.append(f"damaged: lines {', '.join(map(str, checked.damaged))}")
    return f"{checked.file}: {', '.join(parts)}"

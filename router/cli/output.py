"""Showing things: a JSON document for scripts, a table for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from router.jsontext import dump, harmless

#: Columns of a page that is no terminal: nothing is cut there.
_WIDE = 10_000


def show_json(document: object) -> None:
    """Write one JSON document."""
    print(dump(document, indent=True))


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], nothing: str) -> None:
    """Write a table of some keys of the rows, or say that there is nothing."""
    if not rows:
        print(nothing)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row[column])) for column in columns))
    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(table)


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far a command has come; yields what is to be told how many more are done."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.advance(task, done)


def show_facts(facts: Mapping[str, Any]) -> None:
    """Write one thing: a line for each of its keys."""
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {shown(value)}")


def shown(value: object) -> str:
    """Return a value for a person: on one line, and nothing that would steer the terminal."""
    if value is None:
        return "-"
    is_plain = isinstance(value, str) and value.isprintable()
    return str(value) if is_plain else harmless(dump(value))

"""Real notification bodies, one per file, each with its source; a few are composed and say so.

A name is the file's path: ``incomingMessageReceived/wa-text-waba.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from router.errors import NotFound


def names() -> list[str]:
    """Return the names of all samples, sorted."""
    return sorted(_sources())


def read(name: str) -> bytes:
    """Return the body of a sample, byte by byte as a webhook would get it.

    Raises:
        NotFound: No sample has this name; the message suggests one that is close.
    """
    _check(name)
    return files(__name__).joinpath(name).read_bytes()


def source(name: str) -> str:
    """Return where a sample was found.

    Raises:
        NotFound: No sample has this name; the message suggests one that is close.
    """
    _check(name)
    return _sources()[name]


@cache
def _sources() -> Mapping[str, str]:
    table = files(__name__).joinpath("SOURCES.tsv").read_text("utf-8")
    rows = (line.partition("\t") for line in table.splitlines()[1:])
    return {name: origin for name, _, origin in rows}


def _check(name: str) -> None:
    if name not in _sources():
        raise NotFound(f"no sample is named {name!r}{_suggestion(name)}")


def _suggestion(name: str) -> str:
    spellings = {short: full for full in names() for short in (full.rpartition("/")[2], full)}
    close = get_close_matches(name, spellings, n=1)
    return f"; did you mean {spellings[close[0]]!r}?" if close else ""

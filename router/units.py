"""Durations and sizes as people write them: ``30s``, ``1h30m``, ``2MiB``."""

from __future__ import annotations

import re

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

_DURATION = re.compile("".join(rf"(?:([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?){unit})?" for unit in _SECONDS))
_SIZE = re.compile(rf"([0-9]{{1,9}})({'|'.join(_BYTES)})")


def seconds(text: str) -> float:
    """Return a duration in seconds: numbers with units, each unit once, the larger first.

    Raises:
        ValueError: The text is no duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError("no duration")
    return sum(
        float(number) * unit
        for number, unit in zip(match.groups(default="0"), _SECONDS.values(), strict=True)
    )


def size(text: str) -> int:
    """Return a size in bytes: a whole number and a unit.

    Raises:
        ValueError: The text is no size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("no size")
    return int(match[1]) * _BYTES[match[2]]


def amount(text: str) -> float:
    """Return a duration in seconds or a size in bytes, whichever the text is.

    Raises:
        ValueError: It is neither.
    """
    return size(text) if _SIZE.fullmatch(text) else seconds(text)

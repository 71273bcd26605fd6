"""Texts with places for values: ``Hello {event.sender_name|there}``.

There is nothing to run in a template: a place holds one of the names that are known at the start. A value
is put in as it is and never read as a template.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from router_autoreply.texts import LONGEST

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<place>[^{}]*)\}|[{}]")
_BRACES = {"{{": "{", "}}": "}"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes."""

    name: str
    #: What stands there where the value is missing or empty.
    default: str


@dataclass(frozen=True, slots=True)
class Template:
    """A text, read once."""

    parts: tuple[str | Place, ...]

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with each value in its places."""
        return "".join(part if isinstance(part, str) else _value(part, values) for part in self.parts)


def parse(text: str, names: Collection[str]) -> Template:
    """Read a template.

    Args:
        text: ``{NAME}`` or ``{NAME|DEFAULT}`` is a place, ``{{`` and ``}}`` are braces.
        names: Those that a place may have.

    Raises:
        ValueError: A place has another name, or a brace stands alone.
    """
    parts: list[str | Place] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts += [text[end : token.start()], _part(token, names)]
        end = token.end()
    return Template((*parts, text[end:]))


def _part(token: re.Match[str], names: Collection[str]) -> str | Place:
    if (place := token["place"]) is None:
        return _brace(token[0])
    name, _, default = place.partition("|")
    if name.strip() not in names:
        raise ValueError(f"{token[0]} in a template: {_meant(name.strip(), names)}")
    return Place(name.strip(), default)


def _brace(found: str) -> str:
    if found not in _BRACES:
        raise ValueError(f"a single {found} in a template; for a brace write {found * 2}")
    return _BRACES[found]


def _meant(name: str, names: Collection[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"did you mean {{{near[0]}}}?" if near else f"expected one of {', '.join(sorted(names))}"


def _value(place: Place, values: Mapping[str, str]) -> str:
    return values.get(place.name, "")[:LONGEST] or place.default

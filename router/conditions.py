"""What a compiled pattern is made of: tests on scalars, and nodes that find the scalars.

A test looks at one scalar of an event. A node looks at whatever stands at its place: a scalar, an
array, an object or nothing. Neither ever raises. ``patterns`` builds them.
"""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

#: Takes what a node looks at from what stands around it.
Get: TypeAlias = Callable[[Any], Any]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first condition of a pattern that said no."""

    #: Where, such as ``messageData.typeMessage``.
    path: str
    #: What the pattern asks for, in words.
    condition: str
    #: What the event has there, in words; long values are cut.
    found: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.condition}; found {self.found}"


# Values of an event


#: Stands at a place where the event has nothing; null is something.
ABSENT: Final = object()


def _elements(items: list[Any]) -> Iterator[Any]:
    """The elements of an array and of the arrays in it; without recursion, as arrays may be deep."""
    waiting = [iter(items)]
    while waiting:
        for item in waiting[-1]:
            if isinstance(item, list):
                waiting.append(iter(item))
                break
            yield item
        else:
            waiting.pop()


def in_words(value: Any) -> str:
    """Name a value for a person: short, on one line, whatever it is."""
    if value is ABSENT:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**30:
        return "a very large number"
    text = json.dumps(value[:81] if isinstance(value, str) else value, ensure_ascii=False, default=str)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _any_of(words: Iterable[str]) -> str:
    return " or ".join(words)


# Nodes: what a part of a pattern compiles to


@dataclass(frozen=True, slots=True)
class Node:
    matches: Callable[[Any], bool]
    explain: Callable[[Any], Mismatch | None]


@dataclass(frozen=True, slots=True)
class Test:
    """One condition on one scalar."""

    passes: Callable[[Any], bool]
    words: str


#: Stands in for what did not compile; never used, because the problem is raised.
NO_TEST: Final = Test(lambda _: False, "")
NO_NODE: Final = Node(lambda _: False, lambda _: None)


def leaf(path: str, tests: list[Test], absent: bool) -> Node:
    """A value for which any of the tests passes; of an array, any element."""
    passes = _either([test.passes for test in tests])

    def matches(value: Any) -> bool:
        if isinstance(value, list):
            scalars = [item for item in _elements(value) if not isinstance(item, dict)]
            return any(map(passes, scalars)) if scalars else absent
        if value is ABSENT or isinstance(value, dict):
            return absent
        return passes(value)

    condition = _any_of([*(test.words for test in tests), *(["nothing"] if absent else [])])

    def explain(value: Any) -> Mismatch | None:
        return None if matches(value) else Mismatch(path, condition, in_words(value))

    return Node(matches, explain)


def _either(tests: list[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


def all_of(parts: list[tuple[Get, Node]]) -> Node:
    """Each part on what its getter takes from the value."""
    pairs = [(get, node.matches) for get, node in parts]

    def matches(value: Any) -> bool:
        for get, part_matches in pairs:  # noqa: SIM110 - twice as fast as all(...)
            if not part_matches(get(value)):
                return False
        return True

    def explain(value: Any) -> Mismatch | None:
        return next((no for get, node in parts if (no := node.explain(get(value)))), None)

    return Node(matches, explain)


def one_of(path: str, nodes: list[Node]) -> Node:
    def matches(value: Any) -> bool:
        return any(node.matches(value) for node in nodes)

    def explain(value: Any) -> Mismatch | None:
        reasons = [node.explain(value) for node in nodes]
        if not all(reasons):
            return None
        found = " and ".join(f"({reason})" for reason in reasons)
        return Mismatch(path, f"one of {len(nodes)} alternatives", found)

    return Node(matches, explain)


def nested(inner: Node) -> Node:
    """An object that satisfies ``inner``; of an array, any one of its objects does so alone."""

    def objects(value: Any) -> list[Any]:
        if isinstance(value, list):
            found = [item for item in _elements(value) if isinstance(item, dict)]
            return found or [{}]
        return [value if isinstance(value, dict) else {}]

    def matches(value: Any) -> bool:
        if isinstance(value, dict):
            return inner.matches(value)
        return any(map(inner.matches, objects(value)))

    def explain(value: Any) -> Mismatch | None:
        return None if matches(value) else inner.explain(objects(value)[0])

    return Node(matches, explain)


# Scalars and operators

SCALARS: Final = (str, int, float, bool, type(None))


def equal(literal: Any) -> Test:
    """The literal itself: 5 is 5.0, but neither "5" nor, as 1 would be in Python, true."""
    if isinstance(literal, str):
        return Test(lambda value: bool(value == literal), in_words(literal))
    if literal is None or isinstance(literal, bool):
        return Test(lambda value: value is literal, in_words(literal))
    return Test(lambda value: is_number(value) and value == literal, in_words(literal))


def equal_any(literals: list[Any]) -> list[Test]:
    """One test for all strings, because long lists of words are usual; one for each other literal."""
    strings = [literal for literal in literals if isinstance(literal, str)]
    others = [equal(literal) for literal in literals if not isinstance(literal, str)]
    if len(strings) < 2:
        return [equal(literal) for literal in strings] + others
    known = frozenset(strings)
    words = _any_of(map(in_words, strings))
    return [Test(lambda value: isinstance(value, str) and value in known, words), *others]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _on_text(passes: Callable[[str], bool], words: str) -> Test:
    return Test(lambda value: isinstance(value, str) and passes(value), words)


def prefix(text: str) -> Test:
    return _on_text(lambda value: value.startswith(text), f"text beginning with {in_words(text)}")


def suffix(text: str) -> Test:
    return _on_text(lambda value: value.endswith(text), f"text ending with {in_words(text)}")


def ignore_case(text: str) -> Test:
    folded = text.casefold()
    return _on_text(lambda value: value.casefold() == folded, f"{in_words(text)} in any case")


def prefix_ignore_case(text: str) -> Test:
    folded = text.casefold()
    words = f"text beginning with {in_words(text)} in any case"
    return _on_text(lambda value: value.casefold().startswith(folded), words)


def suffix_ignore_case(text: str) -> Test:
    folded = text.casefold()
    words = f"text ending with {in_words(text)} in any case"
    return _on_text(lambda value: value.casefold().endswith(folded), words)


def wildcard(text: str) -> Test:
    """``*`` stands for any text. The pieces between are looked for in turn: linear, no backtracking."""
    pieces = _pieces(text)
    words = f"text like {in_words(text)}"
    if len(pieces) == 1:
        return _on_text(lambda value: value == pieces[0], words)
    first, *middle, last = pieces

    def passes(value: str) -> bool:
        if not value.startswith(first):
            return False
        position, end = len(first), len(value) - len(last)
        for piece in middle:
            position = value.find(piece, position, end)
            if position < 0:
                return False
            position += len(piece)
        return position <= end and value.endswith(last)

    return _on_text(passes, words)


def _pieces(text: str) -> list[str]:
    r"""Split at each ``*``; ``\*`` and ``\\`` stand for the character itself.

    Raises:
        ValueError: If a backslash stands before anything else, or two stars stand together.
    """
    pieces, characters = [""], iter(text)
    star = False
    for character in characters:
        if character == "*":
            if star:
                raise ValueError("two * in a row mean no more than one")
            pieces.append("")
        elif character == "\\":
            escaped = next(characters, "")
            if escaped not in ("*", "\\"):
                raise ValueError(r"a backslash stands before * or \ only; write \\ for a backslash")
            pieces[-1] += escaped
        else:
            pieces[-1] += character
        star = character == "*"
    return pieces


COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda value, limit: value == limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
}


def numeric(terms: list[tuple[str, float]]) -> Test:
    comparisons = [(COMPARISONS[sign], limit) for sign, limit in terms]

    def passes(value: Any) -> bool:
        return is_number(value) and all(compare(value, limit) for compare, limit in comparisons)

    return Test(passes, "a number " + " and ".join(f"{sign} {in_words(limit)}" for sign, limit in terms))


def cidr(network: Network) -> Test:
    def passes(value: str) -> bool:
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return _on_text(passes, f"an address of {network}")


def anything_but(tests: list[Test]) -> Test:
    passes = _either([test.passes for test in tests])
    words = f"anything but {_any_of(test.words for test in tests)}"
    return Test(lambda value: not passes(value), words)

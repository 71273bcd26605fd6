"""YAML text → nodes with places. PyYAML scans and parses; what a scalar means follows YAML 1.2.

PyYAML's own composer and constructor are not used: they recurse without bound, forget where a value
stood, and read scalars by YAML 1.1, where ``no`` is a boolean and ``12:30`` is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

#: How deep values may be nested.
MAX_DEPTH = 64
#: How many values a file may hold once its aliases are followed.
MAX_VALUES = 100_000

Scalar = str | int | float | bool | None


class Place(NamedTuple):
    """A place in a file; both numbers are 1-based."""

    line: int
    column: int


class YamlError(Exception):
    """Raised when a text is no YAML that the router reads; nothing of it can be used."""

    def __init__(self, place: Place, message: str) -> None:
        self.place = place
        self.message = message
        super().__init__(place, message)


@dataclass(slots=True, kw_only=True)
class Node:
    """A value and where it stands. An alias is the anchored node itself: a graph, but without cycles."""

    place: Place
    #: A complaint about the node itself, such as a tag; its value is then of no use.
    problem: str | None = None
    #: Values in it, itself included, with aliases followed.
    size: int = 1
    #: Levels in it, itself included.
    depth: int = 1


@dataclass(slots=True, kw_only=True)
class ScalarNode(Node):
    """A text as it stands in the file, without its quotes."""

    text: str
    #: Neither quoted nor tagged ``!!str``: what it means is up to `resolve`.
    plain: bool


@dataclass(slots=True, kw_only=True)
class ListNode(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class MappingNode(Node):
    """A mapping, as written: keys may be of any kind and occur twice."""

    items: list[tuple[Node, Node]] = field(default_factory=list)


_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# https://yaml.org/spec/1.2.2/#1032-tag-resolution, except that a number with leading zeros, such as
# 0123, stays text: people write codes and phone numbers so.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def resolve(text: str) -> Scalar:
    """Return what a plain scalar means by YAML 1.2's core schema.

    Raises:
        ValueError: It is a number that does not travel in JSON: infinite, not a number, or beyond 64 bits.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _DECIMAL.fullmatch(text):
        return _in_64_bits(int(text))
    if _OCTAL.fullmatch(text):
        return _in_64_bits(int(text, 0))
    if _HEXADECIMAL.fullmatch(text):
        return _in_64_bits(int(text, 0))
    if _FLOAT.fullmatch(text):
        return _finite(float(text))
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("not finite")
    return text


def _in_64_bits(number: int) -> int:
    if not -(2**63) <= number < 2**64:
        raise ValueError("too large")
    return number


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def compose(text: str) -> Node | None:
    """Return the one document in ``text``, or ``None`` when there is none.

    Raises:
        YamlError: The text is not YAML, or holds more than the router reads.
    """
    events = _events(text)
    next(events)  # the start of the stream
    if isinstance(next(events), yaml.StreamEndEvent):
        return None
    root = _Composer(events).node(next(events), depth=1)
    next(events)  # the end of the document
    after = next(events)
    if not isinstance(after, yaml.StreamEndEvent):
        raise YamlError(
            _place(after.start_mark), "a second document: expected a single one, without another '---'"
        )
    return root


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        place = end_of(text[: error.position])
        character = f"U+{ord(text[error.position]):04X}"
        raise YamlError(place, f"not valid YAML: the character {character} is not allowed") from None
    while True:
        try:
            event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]
        except yaml.MarkedYAMLError as error:
            raise _syntax_error(error, text) from None
        except (ValueError, OverflowError):  # PyYAML lets int() and chr() speak for themselves
            place = _place(loader.get_mark())
            raise YamlError(place, "not valid YAML: a number here is out of range") from None
        yield event


def end_of(text: str) -> Place:
    """Return the place right behind a text that starts a file."""
    lines = re.split(r"\r\n|\r|\n", text)
    return Place(len(lines), len(lines[-1]) + 1)


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    mark = error.problem_mark or error.context_mark
    place = _place(mark) if mark else Place(1, 1)
    message = " ".join(f"not valid YAML: {error.problem}".split())
    if error.context and error.context_mark and error.context_mark.line != place.line - 1:
        message += f" ({error.context} that starts at line {error.context_mark.line + 1})"
    hint = _hint(error.problem or "", text[mark.index - 1 : mark.index + 1] if mark else "")
    return YamlError(place, f"{message}; {hint}" if hint else message)


_HINTS = (
    ("'\\t'", "indent with spaces, not with a tab"),
    ("that cannot start any token", "a text that starts with this character needs quotes"),
    ("mapping values are not", "a text that holds ': ' needs quotes; otherwise look at the indentation"),
    ("unknown escape character", "inside single quotes a backslash is an ordinary character"),
    ("expected ',' or", "a comma or a closing bracket is missing"),
    ("expected <block end>", "look at the indentation, of the lines before as well"),
    ("unexpected end of stream", "a closing quote is missing"),
)


def _hint(problem: str, around: str) -> str:
    if around == "${":
        return "inside [ ] and { } a text with ${…} needs quotes"
    return next((hint for part, hint in _HINTS if part in problem), "")


class _Composer:
    """Builds nodes from events; checks depth and size on the way down, before anything large exists."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._anchors: dict[str | None, Node | None] = {}

    def node(self, event: yaml.Event, depth: int) -> Node:
        place = _place(event.start_mark)
        if depth > MAX_DEPTH:
            raise YamlError(place, f"nested too deeply: expected at most {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            node = self._anchored(event.anchor, place)
        else:
            node = self._fresh(event, place, depth)
        if depth + node.depth - 1 > MAX_DEPTH:
            raise YamlError(
                place, f"nested too deeply: expected at most {MAX_DEPTH} levels with aliases followed"
            )
        return node

    def _anchored(self, anchor: str | None, place: Place) -> Node:
        if anchor not in self._anchors:
            raise YamlError(place, f"alias '*{anchor}' has no anchor '&{anchor}' before it")
        node = self._anchors[anchor]
        if node is None:
            raise YamlError(place, f"alias '*{anchor}' stands inside its own anchor")
        return node

    def _fresh(self, event: yaml.Event, place: Place, depth: int) -> Node:
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(ListNode(place=place, problem=_tag_problem(event.tag)), depth)
        else:
            assert isinstance(event, yaml.MappingStartEvent)
            node = self._mapping(MappingNode(place=place, problem=_tag_problem(event.tag)), depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _list(self, node: ListNode, depth: int) -> ListNode:
        for event in self._until(yaml.SequenceEndEvent):
            node.items.append(self._child(node, event, depth))
        return node

    def _mapping(self, node: MappingNode, depth: int) -> MappingNode:
        for event in self._until(yaml.MappingEndEvent):
            key = self._child(node, event, depth)
            value = self._child(node, next(self._events), depth)
            node.items.append((key, value))
        return node

    def _child(self, parent: Node, event: yaml.Event, depth: int) -> Node:
        child = self.node(event, depth + 1)
        parent.size += child.size
        parent.depth = max(parent.depth, child.depth + 1)
        if parent.size > MAX_VALUES:
            message = f"too large: expected at most {MAX_VALUES} values with aliases followed"
            raise YamlError(_place(event.start_mark), message)
        return child

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event


def _scalar(event: yaml.ScalarEvent, place: Place) -> ScalarNode:
    problem = _tag_problem(event.tag)
    if problem is None and not _is_unicode(event.value):
        problem = "the text holds half a character (a lone surrogate such as \\ud83d): expected whole ones"
    return ScalarNode(
        place=place, problem=problem, text=event.value, plain=event.style is None and event.tag is None
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_TAG_PREFIX = "tag:yaml.org,2002:"


def _tag_problem(tag: str | None) -> str | None:
    if tag in (None, "!", _TAG_PREFIX + "str"):
        return None
    shown = "!!" + tag.removeprefix(_TAG_PREFIX) if tag.startswith(_TAG_PREFIX) else tag
    return f"tag {shown!r} is not supported: expected a plain value"

"""``when:`` patterns, compiled to predicates over events.

The language is that of Amazon EventBridge's event patterns (user guide, "Comparison operators for
use in event patterns"): arrays mean or, keys mean and. ``docs/reference/patterns.md`` describes it,
with the few differences. Compiling finds everything that has no meaning or can never match; what
compiles never raises, whatever the event holds.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final, TypeAlias

from router.conditions import (
    ABSENT,
    COMPARISONS,
    NO_NODE,
    NO_TEST,
    SCALARS,
    Get,
    Mismatch,
    Network,
    Node,
    Test,
    all_of,
    anything_but,
    cidr,
    equal,
    equal_any,
    ignore_case,
    in_words,
    is_finite,
    is_number,
    leaf,
    nested,
    numeric,
    one_of,
    prefix,
    prefix_ignore_case,
    suffix,
    suffix_ignore_case,
    wildcard,
)
from router.errors import PatternError
from router.events import Event, Transport

__all__ = ["Mismatch", "Pattern", "compile", "problems"]

#: Keys and indices that lead to a place within a pattern.
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. Two patterns are equal when their sources are."""

    source: Mapping[str, Any]
    #: Whether an event satisfies the pattern.
    matches: Callable[[Event], bool] = field(repr=False, compare=False)
    #: The first condition that an event fails, or ``None`` when it satisfies all.
    explain: Callable[[Event], Mismatch | None] = field(repr=False, compare=False)


def compile(pattern: Mapping[str, Any]) -> Pattern:  # noqa: A001 - as re.compile
    """Compile a pattern.

    Raises:
        PatternError: If it has no meaning; the first of what ``problems`` returns.
    """
    compiler = _Compiler()
    node = compiler.event(pattern, ())
    if compiler.problems:
        raise compiler.problems[0]
    return Pattern(pattern, node.matches, node.explain)


def problems(pattern: Mapping[str, Any]) -> list[PatternError]:
    """Return everything that is wrong with a pattern; empty when it compiles."""
    compiler = _Compiler()
    compiler.event(pattern, ())
    return compiler.problems


# Fields


def _field(name: str) -> Callable[[Event], Any]:
    """A normalized field; one that is ``None`` is absent."""

    def get(event: Event) -> Any:
        value = getattr(event, name)
        return ABSENT if value is None else value

    return get


def _received_at(event: Event) -> str:
    return event.received_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _transport(event: Event) -> str:
    return event.transport.value


#: The event's own fields; a key of this name means them, never the body's key of the same name.
_FIELDS: Final[dict[str, Callable[[Event], Any]]] = {
    name: _field(name)
    for name in (
        "id",
        "type",
        "instance",
        "messenger",
        "chat",
        "sender",
        "sender_name",
        "message_type",
        "text",
        "timestamp",
    )
} | {"received_at": _received_at, "transport": _transport}

_NUMBER_FIELDS: Final = frozenset({"instance", "timestamp"})
_FIELD_VALUES: Final = {
    "messenger": ("whatsapp", "telegram", "max"),
    "transport": tuple(transport.value for transport in Transport),
}

#: Top-level keys of the bodies that GREEN-API documents. Others are welcome, near misses are not.
_BODY_KEYS: Final = (
    "typeWebhook",
    "instanceData",
    "idMessage",
    "senderData",
    "messageData",
    "quotedMessage",
    "chatId",
    "status",
    "sendByApi",
    "description",
    "stateInstance",
    "statusInstance",
    "from",
    "isVideo",
    "duration",
    "participants",
    "chatState",
    "deviceData",
    "quotaData",
    "avatarInfo",
)
_TOP_KEYS: Final = (*_FIELDS, "data", *_BODY_KEYS)


def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").casefold()


_PLAIN_TOP_KEYS: Final = {_plain(key): key for key in _TOP_KEYS}


def _meant(key: str) -> str | None:
    """The known top-level key that a slightly different one was meant to be."""
    close = difflib.get_close_matches(_plain(key), _PLAIN_TOP_KEYS, n=1, cutoff=0.87)
    return _PLAIN_TOP_KEYS[close[0]] if close else None


_OPERATORS: Final = (
    "prefix",
    "suffix",
    "equals-ignore-case",
    "anything-but",
    "wildcard",
    "numeric",
    "exists",
    "cidr",
)
_TEXT_OPERATORS: Final = ("prefix", "suffix", "equals-ignore-case", "wildcard")


class _Compiler:
    """Walks a pattern, collects its problems, and builds nodes for what makes sense."""

    def __init__(self) -> None:
        self.problems: list[PatternError] = []

    def refuse(self, path: Path, message: str) -> None:
        self.problems.append(PatternError(path, message))

    # Objects

    def event(self, pattern: Any, path: Path) -> Node:
        """The top level, and the alternatives of a ``$or`` there."""
        return self.keys(pattern, path, self.top_key, self.event)

    def body(self, pattern: Any, path: Path) -> Node:
        """An object within the body."""
        return self.keys(pattern, path, self.body_key, self.body)

    def keys(
        self,
        pattern: Any,
        path: Path,
        compile_key: Callable[[str, Any, Path], tuple[Get, Node]],
        compile_alternative: Callable[[Any, Path], Node],
    ) -> Node:
        if not isinstance(pattern, Mapping):
            self.refuse(path, f"found {in_words(pattern)}; expected keys with conditions")
            return NO_NODE
        if not pattern:
            self.refuse(path, "empty: leave it out to accept every event")
            return NO_NODE
        parts: list[tuple[Get, Node]] = []
        for key, value in pattern.items():
            at = (*path, key)
            if key == "$or":
                parts.append((_itself, self.alternatives(value, at, compile_alternative)))
            elif self.is_key(key, at):
                parts.append(compile_key(key, value, at))
        return all_of(parts)

    def is_key(self, key: Any, path: Path) -> bool:
        if not isinstance(key, str):
            self.refuse(path, f"found the key {in_words(key)}; keys of a notification are text")
        elif key.startswith("$"):
            self.refuse(path, f"unknown key {key!r}; the only one with a $ is $or")
        elif "." in key:
            nested = ": {".join(key.split("."))
            self.refuse(path, f"a key names one level; write {nested}: …{'}' * key.count('.')}")
        else:
            return True
        return False

    def alternatives(self, value: Any, path: Path, compile_alternative: Callable[[Any, Path], Node]) -> Node:
        if not isinstance(value, list) or len(value) < 2:
            self.refuse(path, f"found {in_words(value)}; $or takes an array of at least two patterns")
            return NO_NODE
        return one_of(_place(path), [compile_alternative(item, (*path, n)) for n, item in enumerate(value)])

    def top_key(self, key: str, value: Any, path: Path) -> tuple[Get, Node]:
        if key == "data":
            return _data, self.body(value, path)
        if key in _FIELDS:
            return _FIELDS[key], self.field(key, value, path)
        meant = None if key in _BODY_KEYS else _meant(key)
        if meant is not None:
            self.refuse(
                path, f"unknown key {key!r}; did you mean {meant}? (data: {{{key}: …}} takes any name)"
            )
        return _body_getter(key), self.value(value, path)

    def body_key(self, key: str, value: Any, path: Path) -> tuple[Get, Node]:
        return _getter(key), self.value(value, path)

    def value(self, value: Any, path: Path) -> Node:
        """What stands behind a key of the body: a nested pattern or conditions."""
        if not isinstance(value, Mapping):
            return self.conditions(value, path)
        operators = [key for key in value if key in _OPERATORS]
        if operators:
            self.refuse(path, f"{operators[0]!r} is an operator; operators stand in an array: [{{…}}]")
            return NO_NODE
        return nested(self.body(value, path))

    def field(self, name: str, value: Any, path: Path) -> Node:
        """What stands behind a normalized field: conditions that such a field can meet."""
        if isinstance(value, Mapping):
            self.refuse(path, f"{name} is a single value; write its conditions in an array: [{{…}}]")
            return NO_NODE
        for at, literal in _literals(value, path):
            self.check_literal(name, literal, at)
        for at, operator in _operators(value, path):
            self.check_operator(name, operator, at)
        return self.conditions(value, path)

    def check_literal(self, name: str, literal: Any, path: Path) -> None:
        """Refuse a literal that the field never has: it would silently never match."""
        if literal is None:
            self.refuse(path, f"{name} is never null; write {{exists: false}} for an event without it")
        elif name in _NUMBER_FIELDS:
            if not is_number(literal):
                self.refuse(path, f"{name} is a number; found {in_words(literal)}")
        elif not isinstance(literal, str):
            self.refuse(path, f"{name} is text; found {in_words(literal)}, write it in quotes")
        elif name in _FIELD_VALUES and literal not in _FIELD_VALUES[name]:
            known = ", ".join(_FIELD_VALUES[name])
            self.refuse(path, f"{name} is one of {known}; found {in_words(literal)}")

    def check_operator(self, name: str, operator: str, path: Path) -> None:
        """Refuse an operator for text on a number, and the other way round."""
        if name in _NUMBER_FIELDS and operator in (*_TEXT_OPERATORS, "cidr"):
            self.refuse(path, f"{name} is a number; {operator} is for text, numeric for numbers")
        elif name not in _NUMBER_FIELDS and operator == "numeric":
            self.refuse(path, f"{name} is text; numeric is for numbers")

    # Conditions

    def conditions(self, value: Any, path: Path) -> Node:
        """An array of conditions, or a scalar alone, which means an array of it."""
        if value is None:
            self.refuse(path, "empty; write [null] for the value null, or {exists: false} in an array")
            return NO_NODE
        if not isinstance(value, list):
            return leaf(_place(path), [self.literal(value, path)], absent=False)
        if not value:
            self.refuse(path, "an empty array matches nothing")
            return NO_NODE
        tests, absent = self.tests(value, path)
        return leaf(_place(path), tests, absent)

    def tests(self, items: list[Any], path: Path) -> tuple[list[Test], bool]:
        literals, tests, absent = [], [], False
        for n, item in enumerate(items):
            at = (*path, n)
            if not isinstance(item, Mapping):
                self.literal(item, at)
                literals.append(item)
            elif len(item) == 1 and item.get("exists") is False:
                absent = True
            else:
                tests.append(self.operator(item, at))
        return equal_any(literals) + tests, absent

    def literal(self, value: Any, path: Path) -> Test:
        if not isinstance(value, SCALARS):
            self.refuse(
                path, f"found {in_words(value)}; expected text, a number, true, false, null or an operator"
            )
            return NO_TEST
        if not is_finite(value):
            self.refuse(path, f"found {value}; JSON has finite numbers only")
            return NO_TEST
        return equal(value)

    def operator(self, item: Mapping[str, Any], path: Path) -> Test:
        if len(item) != 1:
            found = ", ".join(map(str, item)) or "none"
            self.refuse(path, f"one operator in each {{…}}; found {found}")
            return NO_TEST
        ((name, operand),) = item.items()
        at = (*path, name)
        if name in _TEXT_OPERATORS:
            return self.text_operator(name, operand, at)
        others = {
            "anything-but": self.anything_but,
            "numeric": self.numeric,
            "exists": self.exists,
            "cidr": self.cidr,
        }
        if name in others:
            return others[name](operand, at)
        self.refuse(at, f"unknown operator {name!r}{_did_you_mean(name, _OPERATORS)}")
        return NO_TEST

    def text_operator(self, name: str, operand: Any, path: Path) -> Test:
        if name in ("prefix", "suffix") and isinstance(operand, Mapping):
            return self.ignoring_case(name, operand, path)
        if not isinstance(operand, str):
            self.refuse(path, f"{name} takes text; found {in_words(operand)}{_quoted(operand)}")
            return NO_TEST
        if name in ("prefix", "suffix") and not operand:
            self.refuse(path, f"an empty {name} says nothing; write {{exists: true}} for any value")
            return NO_TEST
        try:
            return _TEXT_TESTS[name](operand)
        except ValueError as exc:
            self.refuse(path, str(exc))
            return NO_TEST

    def ignoring_case(self, name: str, operand: Mapping[str, Any], path: Path) -> Test:
        if list(operand) != ["equals-ignore-case"]:
            self.refuse(path, f"{name} takes text or {{equals-ignore-case: text}}")
            return NO_TEST
        text, at = operand["equals-ignore-case"], (*path, "equals-ignore-case")
        if not isinstance(text, str) or not text:
            self.refuse(at, f"equals-ignore-case takes text; found {in_words(text)}{_quoted(text)}")
            return NO_TEST
        return prefix_ignore_case(text) if name == "prefix" else suffix_ignore_case(text)

    def anything_but(self, operand: Any, path: Path) -> Test:
        if isinstance(operand, Mapping):
            return anything_but(self.nested_operator(operand, path))
        if operand is None or operand == []:
            self.refuse(path, "empty; anything-but takes a value, an array of values or an operator")
            return NO_TEST
        items = operand if isinstance(operand, list) else [operand]
        places = [(*path, n) for n in range(len(items))] if isinstance(operand, list) else [path]
        for item, at in zip(items, places, strict=True):
            self.literal(item, at)
        return anything_but(equal_any(items))

    def nested_operator(self, operand: Mapping[str, Any], path: Path) -> list[Test]:
        """``anything-but: {prefix: …}``, where the operator may have an array of texts."""
        if len(operand) != 1 or next(iter(operand)) not in _TEXT_OPERATORS:
            known = ", ".join(_TEXT_OPERATORS)
            found = ", ".join(map(str, operand)) or "none"
            self.refuse(path, f"anything-but takes one of {known}; found {found}")
            return [NO_TEST]
        ((name, texts),) = operand.items()
        at = (*path, name)
        if texts == []:
            self.refuse(at, "an empty array excludes nothing")
            return [NO_TEST]
        if isinstance(texts, list):
            return [self.text_operator(name, text, (*at, n)) for n, text in enumerate(texts)]
        return [self.text_operator(name, texts, at)]

    def exists(self, operand: Any, path: Path) -> Test:
        if operand is not True:
            self.refuse(path, f"exists takes true or false; found {in_words(operand)}")
        return Test(lambda _: True, "any value")

    def cidr(self, operand: Any, path: Path) -> Test:
        network = _network(operand)
        if network is None:
            found = in_words(operand)
            self.refuse(path, f"found {found}; expected an address range such as 10.0.0.0/8 or 2001:db8::/32")
            return NO_TEST
        return cidr(network)

    def numeric(self, operand: Any, path: Path) -> Test:
        found = len(self.problems)
        terms = self.terms(operand, path)
        if len(self.problems) == found:
            self.check_range(terms, path)
        return numeric(terms) if len(self.problems) == found else NO_TEST

    def terms(self, operand: Any, path: Path) -> list[tuple[str, Any]]:
        if not isinstance(operand, list) or len(operand) not in (2, 4):
            self.refuse(path, 'numeric takes one or two comparisons, such as [">", 0, "<=", 5]')
            return []
        terms = list(zip(operand[::2], operand[1::2], strict=True))
        for n, (sign, limit) in enumerate(terms):
            if not isinstance(sign, str) or sign not in COMPARISONS:
                known = " ".join(COMPARISONS)
                self.refuse((*path, 2 * n), f"found {in_words(sign)}; expected one of {known}")
            if not is_number(limit) or not is_finite(limit):
                self.refuse((*path, 2 * n + 1), f"found {in_words(limit)}; expected a number")
        return terms

    def check_range(self, terms: list[tuple[str, Any]], path: Path) -> None:
        """Two comparisons bound a range from both sides, and something is in it."""
        if len(terms) == 1:
            return
        lower = [limit for sign, limit in terms if sign in (">", ">=")]
        upper = [limit for sign, limit in terms if sign in ("<", "<=")]
        if not lower or not upper:
            self.refuse(path, "two comparisons are one of > >= and one of < <=")
        elif lower[0] > upper[0] or (lower[0] == upper[0] and {">=", "<="} != {sign for sign, _ in terms}):
            self.refuse(path, f"no number is between {in_words(lower[0])} and {in_words(upper[0])}")


_TEXT_TESTS: Final = {
    "prefix": prefix,
    "suffix": suffix,
    "equals-ignore-case": ignore_case,
    "wildcard": wildcard,
}


def _network(operand: Any) -> Network | None:
    if not isinstance(operand, str) or "/" not in operand:
        return None
    try:
        return ipaddress.ip_network(operand, strict=False)
    except ValueError:
        return None


def _itself(value: Any) -> Any:
    return value


def _data(event: Event) -> Any:
    return event.data


def _body_getter(key: str) -> Callable[[Event], Any]:
    return lambda event: event.data.get(key, ABSENT)


def _getter(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.get(key, ABSENT)


def _place(path: Path) -> str:
    """The place in the event: a ``$or`` on the way there is not part of it."""
    keys = [key for key in path if isinstance(key, str)]
    return ".".join(key for n, key in enumerate(keys) if key != "$or" or n == len(keys) - 1)


def _literals(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The scalars of an array of conditions, also those behind ``anything-but``, with their places."""
    if isinstance(value, list):
        for n, item in enumerate(value):
            if isinstance(item, Mapping):
                yield from _literals(item.get("anything-but"), (*path, n, "anything-but"))
            elif isinstance(item, SCALARS):
                yield (*path, n), item
    elif value is not None and isinstance(value, SCALARS):
        yield path, value


def _operators(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """The names of the operators in an array of conditions, also within ``anything-but``."""
    for n, item in enumerate(value if isinstance(value, list) else []):
        for name, operand in item.items() if isinstance(item, Mapping) else ():
            yield (*path, n, name), name
            if name == "anything-but" and isinstance(operand, Mapping):
                yield from (((*path, n, name, inner), inner) for inner in operand)


def _quoted(operand: Any) -> str:
    return ", write it in quotes" if isinstance(operand, (int, float)) else ""


def _did_you_mean(name: Any, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(str(name).casefold().replace("_", "-"), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(known)}"

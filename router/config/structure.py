"""JSON Schema → one line per mistake. The schema says what is wrong, this module says it to a person.

Besides the standard's keywords our own schema has four: ``x-noun`` and ``x-expected`` (what a value is
called, and how it looks), ``x-minimum`` and ``x-maximum`` (bounds of a duration or a size).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from router.config.tree import Keys, Tree
from router.events import JsonObject
from router.units import amount

Errors = Iterator[jsonschema.ValidationError]

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
_FOUND = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "a boolean",
    type(None): "nothing",
}
_YAML_1_1_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})


#: Keywords that hold or not whatever the parts of the value are.
_ABOUT_THE_VALUE_ITSELF = frozenset(
    ["type", "required", "additionalProperties", "minItems", "maxItems", "minProperties", "maxProperties"]
)


@cache
def routes_schema() -> JsonObject:
    """Return the JSON Schema of ``routes.yaml``, as editors use it."""
    schema: JsonObject = json.loads(
        files("router").joinpath("schemas/routes.json").read_text(encoding="utf-8")
    )
    return schema


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` for the word that comes close, or nothing."""
    close = closest(word, known)
    return f", did you mean {close!r}?" if close is not None else ""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that the given one was probably meant to be."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word[:100].lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def check_structure(tree: Tree, label: Callable[[Keys], str]) -> None:
    """Hold the tree against the schema of ``routes.yaml``; its mistakes become complaints."""
    _Check(tree, (), label, secretive=False).run(_routes_validator())


def check_options(tree: Tree, keys: Keys, schema: JsonObject, label: Callable[[Keys], str]) -> None:
    """Hold the options at ``keys`` against the schema that their handler registered.

    Raises:
        ValueError: The schema is no valid JSON Schema.
    """
    cls = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        cls.check_schema(schema)
        # A registry of its own: jsonschema would fetch what a $ref names from the network.
        _Check(tree, keys, label, secretive=True).run(cls(schema, registry=Registry()))
    except (SchemaError, Unresolvable, re.error) as error:
        raise ValueError(type(error).__name__) from None


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule of a schema that one value breaks."""

    keys: Keys
    #: The keyword, such as ``type``.
    rule: str
    #: What the schema says behind the keyword.
    bound: Any
    value: Any = field(repr=False)
    #: The schema around the keyword; ``{}`` for a schema that is ``false``.
    schema: Mapping[str, Any]


class _Check:
    """One pass of one schema over one part of a tree."""

    def __init__(self, tree: Tree, base: Keys, label: Callable[[Keys], str], *, secretive: bool) -> None:
        self._tree = tree
        self._base = base
        self._label = label
        #: Show no value at all: options may hold secrets that no reference tells us of.
        self._secretive = secretive

    def run(self, validator: Any) -> None:
        breaches = self._breaches(validator)
        while self._retype(breaches):
            breaches = self._breaches(validator)
        breaches = [breach for breach in breaches if not self._follows_from_another(breach)]
        meant = set(self._say_unknown(breaches))
        for breach in breaches:
            if breach.rule == "required":
                self._say_missing(breach, meant)
            elif breach.rule != "additionalProperties":
                self._say(breach)

    def _breaches(self, validator: Any) -> list[Breach]:
        return [self._breach(error) for error in validator.iter_errors(self._tree.get(self._base, {}))]

    def _breach(self, error: jsonschema.ValidationError) -> Breach:
        error = best_match([error]) or error
        return Breach(
            keys=(*self._base, *error.absolute_path),
            rule=str(error.validator or "false"),
            bound=error.validator_value,
            value=error.instance,
            schema=error.schema if isinstance(error.schema, Mapping) else {},
        )

    def _retype(self, breaches: list[Breach]) -> bool:
        """Take references whose guessed type does not fit as text; tell whether there were any."""
        retyped = False
        for breach in breaches:
            reference = self._tree.references.get(breach.keys)
            if reference and self._tree.get(breach.keys) != reference.text:
                self._tree.put(breach.keys, reference.text)
                retyped = True
        return retyped

    def _follows_from_another(self, breach: Breach) -> bool:
        looks_inside = breach.rule not in _ABOUT_THE_VALUE_ITSELF
        return self._tree.is_broken(breach.keys) or (looks_inside and self._tree.has_broken(breach.keys))

    def _say_unknown(self, breaches: list[Breach]) -> Iterator[Keys]:
        """Complain about keys that a mapping does not have; yield those that were meant."""
        for breach in breaches:
            if breach.rule != "additionalProperties":
                continue
            known = list(breach.schema.get("properties", {}))
            for name in breach.value:
                if name not in known and not _fits_a_pattern(name, breach.schema):
                    meant = closest(name, known)
                    self._complain(
                        (*breach.keys, name), breach.keys, _unknown(name, known, meant), at_key=True
                    )
                    if meant is not None:
                        yield (*breach.keys, meant)

    def _say_missing(self, breach: Breach, meant: set[Keys]) -> None:
        for name in breach.bound:
            if name not in breach.value and (*breach.keys, name) not in meant:
                self._complain(breach.keys, breach.keys, f"missing key {name!r}")

    def _say(self, breach: Breach) -> None:
        self._complain(breach.keys, breach.keys, self._message(breach))
        self._tree.broken.add(breach.keys)

    def _complain(self, at: Keys, subject: Keys, message: str, *, at_key: bool = False) -> None:
        place = self._tree.key_place(at) if at_key else self._tree.place(at)
        self._tree.complain(place, f"{self._label(subject)}{message}")

    def _message(self, breach: Breach) -> str:
        found = self._found(breach)
        if "x-expected" in breach.schema and breach.rule in ("type", "pattern"):
            return f"bad {breach.schema['x-noun']}{found}: expected {breach.schema['x-expected']}"
        return _MESSAGES.get(breach.rule, _broken_rule)(breach, found or " another value")

    def _found(self, breach: Breach) -> str:
        if isinstance(breach.value, dict | list | None):
            return f" ({_FOUND[type(breach.value)]})"
        if self._secretive or breach.schema.get("writeOnly"):
            return ""
        return f" {self._tree.shown(breach.keys)}"


def _unknown(name: str, known: list[str], meant: str | None) -> str:
    if meant is not None:
        return f"unknown key {name!r}, did you mean {meant!r}?"
    return f"unknown key {name!r}: expected {'one of ' + ', '.join(known) if known else 'no keys'}"


def _fits_a_pattern(name: str, schema: Mapping[str, Any]) -> bool:
    return any(re.search(pattern, name) for pattern in schema.get("patternProperties", {}))


# What each keyword has to say. ``found`` starts with a space.


def _type(breach: Breach, _found: str) -> str:
    types = [breach.bound] if isinstance(breach.bound, str) else breach.bound
    expected = " or ".join(_TYPES.get(name, name) for name in types if name != "null" or types == ["null"])
    message = f"expected {expected}, found {_FOUND.get(type(breach.value), 'something else')}"
    if "boolean" in types and isinstance(breach.value, str) and breach.value.lower() in _YAML_1_1_BOOLEANS:
        return f"{message} (YAML 1.2 has only true and false)"
    if "string" in types and isinstance(breach.value, bool | int | float):
        return f"{message}: put it in quotes"
    return message


def _enum(breach: Breach, found: str) -> str:
    allowed = [value if isinstance(value, str) else json.dumps(value) for value in breach.bound]
    hint = suggestion(breach.value, allowed) if isinstance(breach.value, str) else ""
    return f"expected {'one of ' if len(allowed) > 1 else ''}{', '.join(allowed)}, found{found}{hint}"


def _const(breach: Breach, found: str) -> str:
    return f"expected {json.dumps(breach.bound)}, found{found}"


def _bound(words: str) -> Callable[[Breach, str], str]:
    return lambda breach, found: f"expected {words} {breach.bound}, found{found}"


def _count(words: str, one: str, many: str) -> Callable[[Breach, str], str]:
    def say(breach: Breach, _found: str) -> str:
        things = one if breach.bound == 1 else many
        return f"expected {words} {breach.bound} {things}, found {len(breach.value) or 'none'}"

    return say


_MIN_CHARACTERS = _count("at least", "character", "characters")


def _min_length(breach: Breach, found: str) -> str:
    return "expected text, found an empty text" if not breach.value else _MIN_CHARACTERS(breach, found)


def _pattern(breach: Breach, _found: str) -> str:
    return f"the text does not fit the pattern {breach.bound}"


def _dependent_required(breach: Breach, _found: str) -> str:
    absent = {
        name
        for key, names in breach.bound.items()
        if key in breach.value
        for name in names
        if name not in breach.value
    }
    return f"missing {', '.join(map(repr, sorted(absent)))}, which other keys here need"


def _alternatives(_breach: Breach, _found: str) -> str:
    return "fits none of the forms that are allowed here, or more than one"


def _broken_rule(breach: Breach, _found: str) -> str:
    return f"breaks the rule {breach.rule or 'false'!r} of its schema"


_MESSAGES: dict[str, Callable[[Breach, str], str]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound("at least"),
    "x-minimum": _bound("at least"),
    "exclusiveMinimum": _bound("more than"),
    "maximum": _bound("at most"),
    "x-maximum": _bound("at most"),
    "exclusiveMaximum": _bound("less than"),
    "multipleOf": _bound("a multiple of"),
    "minLength": _min_length,
    "maxLength": _count("at most", "character", "characters"),
    "minItems": _count("at least", "entry", "entries"),
    "maxItems": _count("at most", "entry", "entries"),
    "minProperties": _count("at least", "key", "keys"),
    "maxProperties": _count("at most", "key", "keys"),
    "pattern": _pattern,
    "dependentRequired": _dependent_required,
    "anyOf": _alternatives,
    "oneOf": _alternatives,
}


# Our own schema


def _whole_pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Errors:
    # jsonschema searches with Python's re, whose $ lets a newline through.
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield jsonschema.ValidationError("pattern")


def _at_least(_validator: Any, bound: str, instance: Any, _schema: Any) -> Errors:
    value = _amount(instance)
    if value is not None and value < amount(bound):
        yield jsonschema.ValidationError("x-minimum")


def _at_most(_validator: Any, bound: str, instance: Any, _schema: Any) -> Errors:
    value = _amount(instance)
    if value is not None and value > amount(bound):
        yield jsonschema.ValidationError("x-maximum")


def _amount(instance: Any) -> float | None:
    try:
        return amount(instance) if isinstance(instance, str) else None
    except ValueError:
        return None


@cache
def _routes_validator() -> Any:
    cls = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator,
        {"pattern": _whole_pattern, "x-minimum": _at_least, "x-maximum": _at_most},
    )
    return cls(_after_interpolation(routes_schema()))


_BEFORE_INTERPOLATION = {"$ref": "#/$defs/reference"}


def _after_interpolation(schema: Any) -> Any:
    """Drop the form ``${…}`` that the schema allows for any scalar: an editor sees it, we no longer do."""
    if isinstance(schema, list):
        return [_after_interpolation(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: _after_interpolation(value) for key, value in schema.items() if key != "anyOf"}
    forms = [_after_interpolation(form) for form in schema.get("anyOf", []) if form != _BEFORE_INTERPOLATION]
    if len(forms) == 1:
        return {**rest, **forms[0]}
    return {**rest, "anyOf": forms} if forms else rest

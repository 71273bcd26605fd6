"""A notification against the schema of its ``typeWebhook``: what is wrong, and where.

Two engines read the same schema. ``jsonschema-rs`` decides, in about two microseconds;
``jsonschema``, two hundred times slower, explains what the first refused. A notification is invalid
when both say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import jsonschema
import jsonschema_rs
from jsonschema.exceptions import best_match

from router import schemas
from router.events import JsonObject, Problem

#: A list of ten thousand wrong items is one mistake; more lines would tell nobody more.
_MOST_PROBLEMS: Final = 20

#: Levels that the explaining engine gets to see; no schema of ours looks deeper than ten.
_DEEPEST: Final = 32

_JSON_TYPES: Final[Mapping[type, str]] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


class Validator:
    """The schemas of all known notifications, compiled once.

    Args:
        extra: Schemas by ``typeWebhook``, of new notifications or in place of the shipped ones.
        messages: Schemas by ``typeMessage``, in the same way.

    Raises:
        jsonschema_rs.ValidationError: One of ``extra`` is no JSON Schema, or refers to something
            outside itself.
    """

    def __init__(
        self,
        extra: Mapping[str, JsonObject] = MappingProxyType({}),
        messages: Mapping[str, JsonObject] = MappingProxyType({}),
    ) -> None:
        shipped = {type_: schemas.get(type_, messages) for type_ in schemas.notification_types()}
        self._schemas = {type_: _Schema(schema) for type_, schema in {**shipped, **extra}.items()}

    def knows(self, type_: str) -> bool:
        """Tell whether notifications of this ``typeWebhook`` have a schema."""
        return type_ in self._schemas

    def problems(self, data: JsonObject) -> list[Problem]:
        """Return how a notification breaks its schema; ``[]`` if it does not, or if there is none.

        Never raises, whatever JSON value ``data`` holds, nor does depth or size overflow anything;
        only a schema of ``extra`` that refers to itself follows the data down, and wants a parser
        that limits depth (orjson stops at 1024 levels).
        """
        type_ = data.get("typeWebhook")
        if not isinstance(type_, str):
            return [_untyped(data)]
        schema = self._schemas.get(type_)
        return schema.problems(data) if schema else []


class _Schema:
    """One schema in both engines."""

    def __init__(self, schema: JsonObject) -> None:
        self._is_valid = jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid
        self._explainer = jsonschema.Draft202012Validator(schema)

    def problems(self, data: JsonObject) -> list[Problem]:
        try:
            if self._is_valid(data):
                return []
        except ValueError:
            # A key with a lone surrogate (UnicodeEncodeError), which only the other engine can read.
            pass
        errors = self._explainer.iter_errors(_abridge(data))
        problems = (problem for error in errors for problem in _explain(error))
        # Of two missing properties jsonschema makes two errors, and each of them names both.
        return list(dict.fromkeys(islice(problems, _MOST_PROBLEMS)))


def problem_of_schema(schema: Mapping[str, Any]) -> str | None:
    """Say why nothing can be checked against a schema: it is none, or refers to something outside."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        _Schema(dict(schema))
    except jsonschema.SchemaError as exc:
        return f"it is no JSON Schema: {exc.json_path}: {exc.message}"
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
        return " ".join(str(exc).split())
    return None


def _untyped(data: JsonObject) -> Problem:
    if "typeWebhook" not in data:
        return Problem("$.typeWebhook", "required", "expected string, found nothing")
    return Problem("$.typeWebhook", "type", f"expected string, found {_type_name(data['typeWebhook'])}")


def _explain(error: jsonschema.ValidationError) -> Iterator[Problem]:
    """Say in our words what jsonschema found; its own words quote the value."""
    error = best_match([error]) or error  # of an anyOf: what is wrong in the branch that nearly fits
    path = tuple(error.absolute_path)
    rule = str(error.validator or "false")  # the schema `false`, which allows nothing, has no keyword
    expected: Any = error.validator_value
    instance: Any = error.instance
    found = _type_name(instance)
    if rule == "required":
        for name in expected:
            if name not in instance:
                yield Problem(_json_path((*path, name)), rule, "expected a value, found nothing")
    elif rule == "type":
        types = [expected] if isinstance(expected, str) else expected
        yield Problem(_json_path(path), rule, f"expected {' or '.join(types)}, found {found}")
    else:
        yield Problem(_json_path(path), rule, f"found {found} that breaks the rule {rule!r}")


def _type_name(value: object) -> str:
    return _JSON_TYPES.get(type(value), type(value).__name__)


def _json_path(keys: Iterable[str | int]) -> str:
    return "$" + "".join(f".{key}" if str(key).isidentifier() else f"[{key!r}]" for key in keys)


def _abridge(value: Any, levels: int = _DEEPEST) -> Any:
    """Copy a value without what jsonschema chokes on.

    It quotes the value in its messages, which raises for more nesting than Python's stack allows
    and for integers of more than 4,300 digits.
    """
    if isinstance(value, dict):
        return {key: _abridge(item, levels - 1) for key, item in value.items()} if levels else {}
    if isinstance(value, list):
        return [_abridge(item, levels - 1) for item in value] if levels else []
    if isinstance(value, int) and value.bit_length() > 64:
        return 1 << 64 if value > 0 else -1 << 64
    return value

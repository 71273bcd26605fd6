"""A handler's options, described by a JSON Schema, a dataclass or a TypedDict: what is checked and given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from types import GenericAlias
from typing import Any, Self, is_typeddict

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from msgspec import inspect as types

from router.config import routes_schema
from router.errors import OptionsError
from router.events import JsonObject
from router.units import seconds, size

#: How a handler says which options it takes.
Described = Mapping[str, Any] | type[Any]


class Duration(float):
    """Seconds, which ``routes.yaml`` has as ``30s`` or ``1h30m``: ``timeout: Duration = Duration("30s")``.

    Raises:
        ValueError: The text is no duration.
    """

    def __new__(cls, value: str | float) -> Self:
        return super().__new__(cls, seconds(value) if isinstance(value, str) else value)


class Size(int):
    """Bytes, which ``routes.yaml`` has as ``512KiB`` or ``2MiB``: ``most: Size = Size("2MiB")``.

    Raises:
        ValueError: The text is no size.
    """

    def __new__(cls, value: str | int) -> Self:
        return super().__new__(cls, size(value) if isinstance(value, str) else value)


@dataclass(frozen=True, slots=True)
class Options:
    """What one handler takes as ``options``."""

    #: JSON Schema that they are checked against; ``None``: any object will do.
    schema: JsonObject | None
    #: Makes what the handler gets of options that fit the schema; `ValueError` if they do not fit together.
    make: Callable[[Mapping[str, Any]], Any]


def describe(options: Described | None) -> Options:
    """Read how a handler describes its options.

    Raises:
        OptionsError: It is no JSON Schema, or a type that cannot be written in ``routes.yaml``.
    """
    if options is None:
        return Options(None, _as_it_is)
    if isinstance(options, Mapping):
        return Options(_checked(options), _as_it_is)
    if not (isinstance(options, type) and (is_dataclass(options) or is_typeddict(options))):
        raise OptionsError(f"expected a JSON Schema, a dataclass or a TypedDict, found {options!r}")
    try:
        schema = _Schema(options).whole()
    except (TypeError, NameError) as exc:  # a hint that msgspec or Python cannot resolve
        raise OptionsError(f"{options.__name__}: {exc}") from exc
    return Options(_checked(schema), _maker(options))


def _as_it_is(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return options


def _checked(schema: Mapping[str, Any]) -> JsonObject:
    schema = dict(schema)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        where = exc.json_path.replace("$", "options", 1)
        raise OptionsError(f"no JSON Schema: {where}: {exc.message}") from exc
    return schema


def _maker(options: type[Any]) -> Callable[[Mapping[str, Any]], Any]:
    def make(given: Mapping[str, Any]) -> Any:
        return msgspec.convert(given, options, dec_hook=_read)

    return make


def _read(wanted: type[Any], value: Any) -> Any:
    """Make a value of a type that msgspec does not know."""
    assert wanted in _WRITTEN, "other types were refused when they were described"
    if not isinstance(value, str):
        raise ValueError(f"expected text, found {value!r}")  # noqa: TRY004 - msgspec passes on this one only
    return wanted(value)


# Types → JSON Schema. Not msgspec's own: that forbids no unknown keys and cannot show defaults of our types.

#: Our types, each with what our own schema calls it.
_WRITTEN = {Duration: "duration", Size: "size"}

_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
}
_LIST_LIMITS = {"min_length": "minItems", "max_length": "maxItems"}
_DICT_LIMITS = {"min_length": "minProperties", "max_length": "maxProperties"}
_NAMES: Mapping[type[types.Type], str] = {
    types.StrType: "string",
    types.IntType: "integer",
    types.FloatType: "number",
    types.BoolType: "boolean",
    types.NoneType: "null",
}


class _Schema:
    """The schema of one type; the types inside it that have keys of their own are in its ``$defs``."""

    def __init__(self, type_: type[Any]) -> None:
        self._definitions: JsonObject = {}
        self._schema = self._object(types.type_info(type_))

    def whole(self) -> JsonObject:
        """Return it, complete in itself."""
        return {**self._schema, "$defs": self._definitions} if self._definitions else self._schema

    def _of(self, type_: types.Type) -> JsonObject:
        found: JsonObject
        match type_:
            case types.Metadata():
                found = {**self._of(type_.type), **(type_.extra_json_schema or {})}
            case types.AnyType():
                found = {}
            case types.StrType() | types.IntType() | types.FloatType() | types.BoolType() | types.NoneType():
                found = {"type": _NAMES[type(type_)], **_limits(type_, _LIMITS)}
            case types.LiteralType():
                found = {"enum": list(type_.values)}
            case types.EnumType():
                found = {"enum": [member.value for member in type_.cls]}
            case types.ListType() | types.VarTupleType() | types.SetType() | types.FrozenSetType():
                found = {"type": "array", "items": self._of(type_.item_type), **_limits(type_, _LIST_LIMITS)}
            case types.DictType():
                values = self._of(type_.value_type)
                found = {"type": "object", "additionalProperties": values, **_limits(type_, _DICT_LIMITS)}
            case types.UnionType():
                found = _any_of([self._of(one) for one in type_.types])
            case types.DataclassType() | types.TypedDictType():
                found = self._reference(type_)
            case types.CustomType() if type_.cls in _WRITTEN:
                found = dict(routes_schema()["$defs"][_WRITTEN[type_.cls]]["anyOf"][0])
            case _:
                raise TypeError(f"{_name(type_)} cannot be written in routes.yaml")
        return found

    def _reference(self, type_: types.DataclassType | types.TypedDictType) -> JsonObject:
        name = type_.cls.__name__
        if name not in self._definitions:
            self._definitions[name] = {}  # it may refer to itself
            self._definitions[name] = self._object(type_)
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, type_: types.Type) -> JsonObject:
        assert isinstance(type_, types.DataclassType | types.TypedDictType), "asked for these only"
        schema: JsonObject = {"type": "object", "properties": {}}
        for field in type_.fields:
            schema["properties"][field.encode_name] = {**self._of(field.type), **_default(field)}
        if required := [field.encode_name for field in type_.fields if field.required]:
            schema["required"] = required
        return {**schema, "additionalProperties": False}


def _default(field: types.Field) -> JsonObject:
    default = field.default
    if field.default_factory in (list, dict):
        default = field.default_factory()
    if isinstance(default, tuple):
        default = list(default)
    if isinstance(default, Duration | Size):
        return {"default": f"{default:g}s" if isinstance(default, Duration) else f"{default}B"}
    return {"default": default} if isinstance(default, str | int | float | bool | list | dict) else {}


def _limits(type_: types.Type, words: Mapping[str, str]) -> JsonObject:
    found = {word: getattr(type_, name, None) for name, word in words.items()}
    return {word: limit for word, limit in found.items() if limit is not None}


def _any_of(forms: Iterable[JsonObject]) -> JsonObject:
    """Let the value have any of the forms; in one list of types where that will do: its message is better."""
    forms = list(forms)
    if all(form.keys() <= {"type", *_LIMITS.values()} for form in forms):
        limits = {word: limit for form in forms for word, limit in form.items() if word != "type"}
        return {"type": [form["type"] for form in forms], **limits}
    return {"anyOf": forms}


def _name(type_: types.Type) -> str:
    cls = getattr(type_, "cls", None)
    return cls.__name__ if isinstance(cls, type | GenericAlias) else type(type_).__name__.removesuffix("Type")

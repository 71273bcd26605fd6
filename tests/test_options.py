"""How handlers may describe their options, and what they get."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import jsonschema
import pytest
from msgspec import Meta

from router.errors import OptionsError
from router.options import Duration, Size, describe


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Choice:
    text: str
    reply: str = "ok"
    menu: list[Choice] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Settings:
    url: Annotated[str, Meta(description="Where to.", min_length=1, pattern="^https?:")]
    timeout: Duration = Duration("30s")
    most: Size = Size("2MiB")
    mode: Literal["fast", "safe"] = "fast"
    colour: Colour = Colour.RED
    count: Annotated[int, Meta(ge=1, lt=10)] = 3
    share: float = 0.5
    on: bool = False
    title: str | None = None
    pause: Duration | None = None
    tags: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    anything: Any = None

    def __post_init__(self) -> None:
        if self.on and not self.tags:
            raise ValueError("'on' needs 'tags'")


class Few(TypedDict):
    file: str
    lines: NotRequired[int]


ALL = {
    "url": "https://example.org",
    "timeout": "1h30m",
    "most": "512KiB",
    "mode": "safe",
    "colour": "blue",
    "count": 9,
    "share": 1,
    "on": True,
    "title": "x",
    "pause": "500ms",
    "tags": ["a"],
    "headers": {"X": "y"},
    "choices": [{"text": "1", "menu": [{"text": "2"}]}],
    "anything": [None],
}


def test_a_dataclass_gets_what_fits_its_schema() -> None:
    options = describe(Settings)
    assert options.schema is not None
    jsonschema.validate(ALL, options.schema)
    made = options.make(ALL)
    assert (made.timeout, made.most, made.colour, made.pause) == (5400.0, 524288, Colour.BLUE, 0.5)
    assert made.choices == (Choice("1", menu=[Choice("2")]),)
    assert (made.share, made.headers, made.anything) == (1.0, {"X": "y"}, [None])


def test_what_is_left_out_has_its_default() -> None:
    made = describe(Settings).make({"url": "http://x"})
    assert made == Settings(url="http://x")
    assert (type(made.timeout), made.timeout, made.most) == (Duration, 30.0, 2 * 1024 * 1024)


WRONG = {
    "missing": {},
    "unknown key": {"url": "http://x", "ulr": 1},
    "wrong type": {"url": 5},
    "pattern": {"url": "ftp://x"},
    "duration without a unit": {"url": "http://x", "timeout": 30},
    "duration": {"url": "http://x", "timeout": "5 min"},
    "size": {"url": "http://x", "most": "2 MB"},
    "literal": {"url": "http://x", "mode": "slow"},
    "enum": {"url": "http://x", "colour": "green"},
    "too small": {"url": "http://x", "count": 0},
    "too large": {"url": "http://x", "count": 10},
    "inside": {"url": "http://x", "choices": [{"text": "1", "menu": [{"txt": "2"}]}]},
    "item": {"url": "http://x", "tags": [1]},
    "value": {"url": "http://x", "headers": {"X": 1}},
}


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG.keys())
def test_the_schema_refuses_what_the_dataclass_cannot_hold(given: dict[str, Any]) -> None:
    schema = describe(Settings).schema
    assert schema is not None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(given, schema)


def test_what_does_not_fit_together_is_told_by_the_dataclass() -> None:
    with pytest.raises(ValueError, match="'on' needs 'tags'"):
        describe(Settings).make({"url": "http://x", "on": True})


def test_descriptions_and_defaults_are_in_the_schema() -> None:
    schema = describe(Settings).schema
    assert schema is not None
    shown = {
        name: (each.get("description"), each.get("default")) for name, each in schema["properties"].items()
    }
    assert shown["url"] == ("Where to.", None)
    assert (shown["timeout"][1], shown["most"][1], shown["count"][1]) == ("30s", "2097152B", 3)


def test_a_typed_dict_is_checked_and_given_as_it_is() -> None:
    options = describe(Few)
    assert options.schema == {
        "type": "object",
        "properties": {"file": {"type": "string"}, "lines": {"type": "integer"}},
        "required": ["file"],
        "additionalProperties": False,
    }
    assert options.make({"file": "a"}) == {"file": "a"}


def test_a_json_schema_is_taken_as_it_is() -> None:
    schema = {"type": "object", "maxProperties": 2}
    given = {"a": 1}
    assert describe(schema).schema == schema
    assert describe(schema).make(given) is given


def test_without_a_description_anything_will_do() -> None:
    options = describe(None)
    given = {"x": 1}
    assert (options.schema, options.make(given) is given) == (None, True)


@dataclass
class WithDate:
    day: datetime.date


@dataclass
class WithUnknown:
    day: Nowhere  # type: ignore[name-defined]  # noqa: F821


BAD = {
    "no schema": ({"type": "objekt"}, "no JSON Schema: options.type: 'objekt' is not valid"),
    "text": ("object", "expected a JSON Schema, a dataclass or a TypedDict, found 'object'"),
    "another class": (int, "expected a JSON Schema, a dataclass or a TypedDict, found <class 'int'>"),
    "a type that YAML has not": (WithDate, "WithDate: Date cannot be written in routes.yaml"),
    "a hint that leads nowhere": (WithUnknown, "WithUnknown: name 'Nowhere' is not defined"),
}


@pytest.mark.parametrize(("described", "message"), BAD.values(), ids=BAD.keys())
def test_what_describes_no_options_is_refused(described: Any, message: str) -> None:
    with pytest.raises(OptionsError) as raised:
        describe(described)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("text", ["", "30", "soon", "5 min"])
def test_a_duration_in_code_is_checked_too(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        Duration(text)

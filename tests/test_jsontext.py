from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.events import Problem
from router.jsontext import dump, parse, same_content

DEEP = b"[" * 10_000 + b"]" * 10_000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"a": 1}', {"a": 1}, id="an object"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="a key twice: the last counts"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="a byte order mark"),
        pytest.param(rb'{"a": "x\ud83d"}', {"a": "x�"}, id="a lone surrogate in a text"),
        pytest.param(rb'{"\udc00": "x"}', {"�": "x"}, id="a lone surrogate in a key"),
        pytest.param(rb'{"a": "\ud83d\ude00 \ud83d"}', {"a": "😀 �"}, id="a pair beside a lone one"),
        pytest.param(rb'{"a": "\u0000"}', {"a": "\0"}, id="an escaped NUL"),
        pytest.param(b'{"a": 1e999}', {"a": math.inf}, id="a number beyond any float"),
        pytest.param(b'{"a": %s}' % (b"9" * 5000), {"a": math.inf}, id="an integer of 5,000 digits"),
    ],
)
def test_an_object_is_read_whatever_is_in_it(body: bytes, expected: dict[str, Any]) -> None:
    assert parse(body) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "expected a JSON object: .*", id="nothing"),
        pytest.param(b"hello", "expected a JSON object: .*", id="no JSON"),
        pytest.param(b'{"a": 1', "expected a JSON object: .*", id="cut off"),
        pytest.param(b'{"a": 1} {}', "expected a JSON object: .*", id="more behind it"),
        pytest.param(b'{"a": "\x00"}', "expected a JSON object: .*", id="a bare NUL"),
        pytest.param(b'{"a": NaN}', "expected a JSON object: .*", id="not a number"),
        pytest.param(b"[1]", "expected a JSON object, found an array", id="an array"),
        pytest.param(b"5", "expected a JSON object, found a number", id="a number"),
        pytest.param(b'"x"', "expected a JSON object, found a string", id="a string"),
        pytest.param(b"null", "expected a JSON object, found null", id="null"),
        pytest.param(b"true", "expected a JSON object, found a boolean", id="true"),
        pytest.param(b'{"a": "\xff"}', "expected UTF-8, found byte 0xff at 7", id="no UTF-8"),
        pytest.param(DEEP, "expected a JSON object, found one nested too deeply", id="10,000 arrays"),
        pytest.param(
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            "expected a JSON object, found one nested too deeply",
            id="10,000 objects",
        ),
    ],
)
def test_anything_else_is_a_problem_at_the_root(body: bytes, message: str) -> None:
    problem = parse(body)

    assert isinstance(problem, Problem)
    assert (problem.path, problem.rule) == ("$", "json")
    assert re.fullmatch(message, problem.message)


@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes) -> None:
    assert isinstance(parse(body), dict | Problem)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_what_the_standard_library_writes_is_read_back(value: dict[str, Any]) -> None:
    text = json.dumps(value)

    assert parse(text.encode()) == value


def test_the_order_of_keys_and_white_space_make_no_other_content() -> None:
    one = b'{"a": 1, "b": {"c": 2, "d": [1, 2]}}'

    assert same_content(one, b'{"b":{"d":[1,2],"c":2},"a":1}')
    assert not same_content(one, b'{"b":{"d":[2,1],"c":2},"a":1}')
    assert not same_content(b"no JSON", b"other")
    assert same_content(b"no JSON", b"no JSON")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({"a": "ü\n"}, '{"a":"ü\\n"}', id="on one line"),
        pytest.param({"a": 2**70}, '{"a": 1180591620717411303424}', id="a number that orjson refuses"),
        pytest.param({"a": math.inf}, '{"a":null}', id="infinity"),
        pytest.param({1: {2}}, '{"1":"{2}"}', id="what JSON has no form for"),
        pytest.param("x\ud800", '"x�"', id="a lone surrogate"),
    ],
)
def test_any_value_can_be_shown(value: object, text: str) -> None:
    assert dump(value) == text


def test_a_value_nested_too_deeply_to_show_is_named() -> None:
    value: list[Any] = []
    for _ in range(50_000):
        value = [value]

    assert dump(value) == '"[list that cannot be shown]"'

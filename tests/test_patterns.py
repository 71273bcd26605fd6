from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router import patterns, samples
from router.errors import PatternError
from router.events import Event, JsonObject, Transport
from router.normalize import normalize
from router.patterns import Mismatch

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "patterns.md"
PROBLEMS = yaml.safe_load((HERE / "data" / "pattern_problems.yaml").read_text("utf-8"))


def event_of(data: JsonObject) -> Event:
    received_at = datetime(2026, 11, 24, 10, 30, 0, 123456, tzinfo=UTC)
    return normalize(data, id="e1", received_at=received_at, transport=Transport.WEBHOOK)


def verdict(pattern: dict[str, Any], data: JsonObject) -> bool:
    """What the pattern says, having checked that its explanation agrees."""
    compiled, event = patterns.compile(pattern), event_of(data)
    says = compiled.matches(event)
    assert (compiled.explain(event) is None) == says
    return says


# The reference page


def examples() -> Iterator[Any]:
    page = PAGE.read_text("utf-8")
    for block in re.finditer(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        line = page.count("\n", 0, block.start()) + 1
        expected = re.findall(r"^# (yes|no|error): (.*)$", block[1], re.MULTILINE)
        yield pytest.param(yaml.safe_load(block[1])["when"], expected, id=f"line {line}")


@pytest.mark.parametrize(("pattern", "expected"), list(examples()))
def test_the_examples_of_the_reference_page(pattern: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert expected
    for outcome, what in expected:
        if outcome == "error":
            assert [str(problem) for problem in patterns.problems(pattern)] == [what]
        else:
            body = json.loads(what if what.startswith("{") else samples.read(what))
            assert verdict(pattern, body) is (outcome == "yes"), what


def test_the_reference_page_has_a_heading_for_every_operator() -> None:
    headings = re.findall(r"^### (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    documented = {name for heading in headings for name in re.findall(r"`([^`]+)`", heading)}
    message = str(patterns.problems({"note": [{"!": 1}]})[0])
    known = set(message.split("expected one of ")[1].split(", "))
    assert documented == known | {"$or"}


# Values

TEXT, NUMBER, TRUE, NULL = {"x": "5"}, {"x": 5}, {"x": True}, {"x": None}


@pytest.mark.parametrize(
    ("conditions", "data", "expected"),
    [
        (["5"], TEXT, True),
        (["5"], NUMBER, False),
        ([5], NUMBER, True),
        ([5.0], NUMBER, True),
        ([5], {"x": 5.0}, True),
        ([5], TEXT, False),
        ([1], TRUE, False),
        ([True], TRUE, True),
        ([True], {"x": 1}, False),
        ([0], {"x": False}, False),
        ([None], NULL, True),
        ([None], {}, False),
        ([None], {"x": ""}, False),
        ([""], {"x": ""}, True),
        (["a", "b", "c"], {"x": "b"}, True),
        (["a", "b", "c"], {"x": "d"}, False),
        (["a", "b", 5, True], NUMBER, True),
        (["a"], {"x": ["b", "a"]}, True),
        (["a"], {"x": [["b"], [["a"]]]}, True),
        (["a"], {"x": []}, False),
        (["a"], {"x": {"a": "a"}}, False),
        (["a"], {"x": [{"x": "a"}]}, False),
        ("a", {"x": "a"}, True),
        (5, NUMBER, True),
        (False, {"x": False}, True),
        ([10**400], {"x": 10**400}, True),
        ([{"prefix": "a"}], {"x": "ab"}, True),
        ([{"prefix": "a"}], {"x": "ba"}, False),
        ([{"prefix": "5"}], {"x": 55}, False),
        ([{"suffix": "b"}], {"x": "ab"}, True),
        ([{"suffix": "b"}], {"x": "ba"}, False),
        ([{"prefix": {"equals-ignore-case": "AB"}}], {"x": "abc"}, True),
        ([{"prefix": {"equals-ignore-case": "AB"}}], {"x": "cab"}, False),
        ([{"suffix": {"equals-ignore-case": "BC"}}], {"x": "abc"}, True),
        ([{"suffix": {"equals-ignore-case": "BC"}}], {"x": "bca"}, False),
        ([{"equals-ignore-case": "STRASSE"}], {"x": "straße"}, True),
        ([{"equals-ignore-case": "a"}], {"x": "ab"}, False),
        ([{"anything-but": "a"}], {"x": "b"}, True),
        ([{"anything-but": "a"}], {"x": "a"}, False),
        ([{"anything-but": "a"}], {"x": ["a", "b"]}, True),
        ([{"anything-but": "a"}], {"x": ["a", "a"]}, False),
        ([{"anything-but": "a"}], {"x": []}, False),
        ([{"anything-but": "a"}], {}, False),
        ([{"anything-but": "a"}], NULL, True),
        ([{"anything-but": "a"}], {"x": {"a": 1}}, False),
        ([{"anything-but": 5}], TEXT, True),
        ([{"anything-but": [5, "a", None]}], NULL, False),
        ([{"anything-but": [5, "a", None]}], NUMBER, False),
        ([{"anything-but": [5, "a", None]}], {"x": "b"}, True),
        ([{"anything-but": {"prefix": "a"}}], {"x": "ab"}, False),
        ([{"anything-but": {"prefix": "a"}}], NUMBER, True),
        ([{"anything-but": {"suffix": ["a", "b"]}}], {"x": "cb"}, False),
        ([{"anything-but": {"suffix": ["a", "b"]}}], {"x": "cc"}, True),
        ([{"anything-but": {"equals-ignore-case": ["a", "b"]}}], {"x": "B"}, False),
        ([{"anything-but": {"wildcard": "*a*"}}], {"x": "bab"}, False),
        ([{"numeric": ["=", 5]}], {"x": 5.0}, True),
        ([{"numeric": [">", 5]}], NUMBER, False),
        ([{"numeric": [">=", 5]}], NUMBER, True),
        ([{"numeric": ["<", 5]}], NUMBER, False),
        ([{"numeric": ["<=", 5]}], NUMBER, True),
        ([{"numeric": [">", 0, "<=", 5]}], NUMBER, True),
        ([{"numeric": [">", 0, "<", 5]}], NUMBER, False),
        ([{"numeric": ["<", 6, ">", 4]}], NUMBER, True),
        ([{"numeric": [">=", 5, "<=", 5]}], NUMBER, True),
        ([{"numeric": [">", 0]}], TRUE, False),
        ([{"numeric": [">", 0]}], TEXT, False),
        ([{"numeric": [">", 0]}], {"x": 10**400}, True),
        ([{"exists": True}], NULL, True),
        ([{"exists": True}], {}, False),
        ([{"exists": True}], {"x": {}}, False),
        ([{"exists": True}], {"x": []}, False),
        ([{"exists": True}], {"x": [[]]}, False),
        ([{"exists": True}], {"x": [{}, 1]}, True),
        ([{"exists": False}], {}, True),
        ([{"exists": False}], NULL, False),
        ([{"exists": False}], {"x": {"y": 1}}, True),
        ([{"exists": False}], {"x": []}, True),
        ([{"exists": False}, "a"], {"x": "a"}, True),
        ([{"exists": False}, "a"], {"x": "b"}, False),
        ([{"cidr": "10.0.0.0/24"}], {"x": "10.0.0.255"}, True),
        ([{"cidr": "10.0.0.0/24"}], {"x": "10.0.1.0"}, False),
        ([{"cidr": "10.0.0.9/24"}], {"x": "10.0.0.1"}, True),
        ([{"cidr": "::/0"}], {"x": "::1"}, True),
        ([{"cidr": "::/0"}], {"x": "10.0.0.1"}, False),
        ([{"cidr": "0.0.0.0/0"}], {"x": "nowhere"}, False),
        ([{"cidr": "0.0.0.0/0"}], NUMBER, False),
        ({"y": ["a"]}, {"x": {"y": "a"}}, True),
        ({"y": ["a"]}, {"x": {"y": "b"}}, False),
        ({"y": ["a"]}, {"x": "a"}, False),
        ({"y": ["a"]}, {}, False),
        ({"y": ["a"]}, {"x": [{"y": "b"}, [{"y": "a"}]]}, True),
        ({"y": ["a"], "z": ["b"]}, {"x": [{"y": "a"}, {"z": "b"}]}, False),
        ({"y": [{"exists": False}]}, {}, True),
        ({"y": [{"exists": False}]}, {"x": 5}, True),
        ({"y": [{"exists": False}]}, {"x": []}, True),
        ({"y": [{"exists": False}]}, {"x": {"y": 5}}, False),
        ({"y": {"z": [{"exists": False}]}}, {"x": {"y": 5}}, True),
        ({"$or": [{"y": ["a"]}, {"z": ["a"]}]}, {"x": {"z": "a"}}, True),
        ({"$or": [{"y": ["a"]}, {"z": ["a"]}], "w": ["a"]}, {"x": {"z": "a"}}, False),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_matches(conditions: Any, data: JsonObject, expected: bool) -> None:
    assert verdict({"x": conditions}, data) is expected


def test_an_array_may_be_nested_deeper_than_python_recurses() -> None:
    deep: Any = "a"
    for _ in range(5000):
        deep = [deep]
    assert verdict({"x": ["a"]}, {"x": deep})
    assert not verdict({"x": {"y": ["a"]}}, {"x": deep})


# Fields

CALL = {"typeWebhook": "incomingCall", "from": "7@c.us", "timestamp": 1588091580}
NAMED = {"senderData": {"senderName": "Anna"}, "instanceData": {"idInstance": 7, "typeInstance": "v3"}}


@pytest.mark.parametrize(
    ("pattern", "data"),
    [
        ({"id": ["e1"]}, {}),
        ({"type": ["incomingCall"]}, CALL),
        ({"instance": [7]}, NAMED),
        ({"instance": [{"numeric": [">", 6]}]}, NAMED),
        ({"messenger": ["max"]}, NAMED),
        ({"chat": ["7@c.us"]}, CALL),
        ({"sender": ["7@c.us"]}, CALL),
        ({"sender_name": ["Anna"]}, NAMED),
        ({"message_type": ["x"]}, {"messageData": {"typeMessage": "x"}}),
        ({"text": [{"exists": False}]}, CALL),
        ({"timestamp": [1588091580]}, CALL),
        ({"received_at": ["2026-11-24T10:30:00Z"]}, {}),
        ({"received_at": [{"prefix": "2026-11-24T10"}]}, {}),
        ({"transport": ["webhook"]}, {}),
        ({"from": ["7@c.us"]}, CALL),
        ({"data": {"from": ["7@c.us"]}}, CALL),
        ({"chat": [{"exists": False}], "data": {"chat": ["x"]}}, {"chat": "x"}),
        ({"data": {"$or": [{"a": [1]}, {"b": [1]}]}}, {"b": 1}),
        ({"$or": [{"chat": ["8@c.us"]}, {"data": {"from": ["7@c.us"]}}]}, CALL),
        ({"statusCode": [5]}, {"statusCode": 5}),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_the_fields_of_an_event_and_the_keys_of_its_body(pattern: dict[str, Any], data: JsonObject) -> None:
    assert verdict(pattern, data)


@pytest.mark.parametrize("transport", Transport)
def test_the_transport(transport: Transport) -> None:
    event = normalize({}, id="e1", received_at=datetime.now(UTC), transport=transport)
    assert patterns.compile({"transport": [transport.value]}).matches(event)


def test_the_time_of_receipt_is_compared_in_utc() -> None:
    received_at = datetime(2026, 11, 25, 1, 30, tzinfo=timezone(timedelta(hours=3)))
    event = normalize({}, id="e1", received_at=received_at, transport=Transport.POLLING)
    assert patterns.compile({"received_at": ["2026-11-24T22:30:00Z"]}).matches(event)


# Explanations


@pytest.mark.parametrize(
    ("pattern", "data", "expected"),
    [
        (
            {"messageData": {"typeMessage": ["textMessage", "pollMessage"]}, "text": ["no"]},
            {"messageData": {"typeMessage": "imageMessage"}},
            Mismatch("messageData.typeMessage", '"textMessage" or "pollMessage"', '"imageMessage"'),
        ),
        (
            {"type": ["incomingCall"], "text": [{"prefix": "/order"}]},
            CALL,
            Mismatch("text", 'text beginning with "/order"', "nothing"),
        ),
        (
            {"x": [{"numeric": [">", 0, "<=", 5]}, {"exists": False}]},
            {"x": 9},
            Mismatch("x", "a number > 0 and <= 5 or nothing", "9"),
        ),
        (
            {"x": [{"anything-but": [1, "a"]}]},
            {"x": 1},
            Mismatch("x", 'anything but "a" or 1', "1"),
        ),
        ({"x": [{"suffix": "b"}]}, {"x": {}}, Mismatch("x", 'text ending with "b"', "an object")),
        ({"x": [{"exists": True}]}, {}, Mismatch("x", "any value", "nothing")),
        ({"x": [{"wildcard": "a*"}]}, {"x": ["b", "c"]}, Mismatch("x", 'text like "a*"', "an array of 2")),
        ({"x": [{"cidr": "10.0.0.0/8"}]}, {"x": "y"}, Mismatch("x", "an address of 10.0.0.0/8", '"y"')),
        (
            {"x": [{"equals-ignore-case": "A"}]},
            {"x": 10**99},
            Mismatch("x", '"A" in any case', "a very large number"),
        ),
        ({"x": ["a"]}, {"x": "é" * 100}, Mismatch("x", '"a"', '"' + "é" * 76 + "…")),
        ({"x": ["a"]}, {"x": "\ud800"}, Mismatch("x", '"a"', "'\"\\ud800\"'")),
        ({"x": {"y": [1]}}, {"x": [{"y": 2}, {"y": 3}]}, Mismatch("x.y", "1", "2")),
        ({"data": {"x": [1]}}, {}, Mismatch("data.x", "1", "nothing")),
        (
            {"x": {"$or": [{"y": [1]}, {"z": ["a"]}]}},
            {"x": {"y": 2}},
            Mismatch(
                "x.$or",
                "one of 2 alternatives",
                '(x.y: expected 1; found 2) and (x.z: expected "a"; found nothing)',
            ),
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None,
)
def test_the_first_condition_that_failed(
    pattern: dict[str, Any], data: JsonObject, expected: Mismatch
) -> None:
    assert patterns.compile(pattern).explain(event_of(data)) == expected


def test_a_mismatch_in_one_line() -> None:
    assert str(Mismatch("text", '"a"', "nothing")) == 'text: expected "a"; found nothing'


# Problems


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [pytest.param(case["when"], case["error"], id=str(case["when"])[:50]) for case in PROBLEMS],
)
def test_what_has_no_meaning_is_refused(pattern: Any, problem: str) -> None:
    assert [str(found) for found in patterns.problems(pattern)] == [problem]
    with pytest.raises(PatternError) as raised:
        patterns.compile(pattern)
    assert str(raised.value) == problem


def test_every_problem_is_found_with_its_place() -> None:
    pattern = {"text": [{"prefx": "a"}, 5], "messageData": {"typeMessage": []}, "x": [{"cidr": "no"}]}
    assert [problem.path for problem in patterns.problems(pattern)] == [
        ("text", 1),
        ("text", 0, "prefx"),
        ("messageData", "typeMessage"),
        ("x", 0, "cidr"),
    ]


@pytest.mark.parametrize("key", ["messageStatus", "fromMe", "reactionData", "pollId", "version"])
def test_a_key_that_no_catalogue_knows_is_accepted(key: str) -> None:
    assert patterns.problems({key: ["x"]}) == []


def test_patterns_are_equal_when_their_sources_are() -> None:
    assert patterns.compile({"x": ["a"]}) == patterns.compile({"x": ["a"]})
    assert patterns.compile({"x": ["a"]}) != patterns.compile({"x": ["b"]})


# Wildcards


def naive(pattern: str, text: str) -> bool:
    expression = "".join(".*" if piece == "*" else re.escape(piece) for piece in re.split(r"(\*)", pattern))
    return re.fullmatch(expression, text, re.DOTALL) is not None


@settings(max_examples=500, deadline=None)
@example("a*a", "a")
@example("*ab*b", "ab")
@example("*aba*aba*", "ababa")
@given(st.text("ab*", max_size=8).filter(lambda text: "**" not in text), st.text("ab\n", max_size=12))
def test_a_wildcard_agrees_with_a_regular_expression(pattern: str, text: str) -> None:
    assert verdict({"x": [{"wildcard": pattern}]}, {"x": text}) is naive(pattern, text)


@given(st.text("ab*\\", max_size=8))
def test_an_escaped_wildcard_is_the_text_itself(text: str) -> None:
    escaped = text.replace("\\", r"\\").replace("*", r"\*")
    assert verdict({"x": [{"wildcard": escaped}]}, {"x": text})
    assert not verdict({"x": [{"wildcard": escaped}]}, {"x": text + "a"})


def test_a_wildcard_takes_linear_time() -> None:
    compiled = patterns.compile({"x": [{"wildcard": "*a" * 30 + "*b"}]})
    event = event_of({"x": "a" * 100_000})
    started = time.perf_counter()
    assert not compiled.matches(event)
    assert time.perf_counter() - started < 0.5


# Anything


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "y", "prefix", "exists", "$or", "text"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PATTERN = {
    "x": ["a", 1, True, None, {"prefix": "a"}, {"numeric": [">", 1]}, {"anything-but": {"wildcard": "*"}}],
    "$or": [{"y": {"x": [{"cidr": "10.0.0.0/8"}]}}, {"text": [{"equals-ignore-case": "b"}]}],
}


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["x", "y"]), JSON, max_size=2))
def test_no_event_is_too_odd(data: JsonObject) -> None:
    verdict(PATTERN, data)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_a_pattern_is_either_refused_or_usable(pattern: Any) -> None:
    if not patterns.problems(pattern):
        verdict(pattern, {"x": "a", "y": {"x": [1]}})

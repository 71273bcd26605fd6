from __future__ import annotations

import pytest
from router_autoreply.templates import parse

NAMES = ("event.text", "event.sender_name", "match.number")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", "Hello"),
        ("Hello {event.sender_name}!", "Hello Anna!"),
        ("{ event.sender_name }", "Anna"),
        ("{event.sender_name|there}", "Anna"),
        ("No. {match.number|unknown}", "No. unknown"),
        ("No. {match.number}.", "No. ."),
        ("{match.number|a | b}", "a | b"),
        ("{{event.text}} }}{{", "{event.text} }{"),
        ("{event.text}{event.text}", "hihi"),
    ],
    ids=str,
)
def test_values_stand_in_their_places(text: str, expected: str) -> None:
    assert parse(text, NAMES).fill({"event.text": "hi", "event.sender_name": "Anna"}) == expected


@pytest.mark.parametrize(
    "value", ["{event.sender_name}", "{{", "{0.__class__}", "%s", "${TOKEN}", "{match.number|x}"]
)
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    assert (
        parse("<{event.text}>", NAMES).fill({"event.text": value, "event.sender_name": "A"}) == f"<{value}>"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{event.sendername}", "{event.sendername} in a template: did you mean {event.sender_name}?"),
        ("{x}", "{x} in a template: expected one of event.sender_name, event.text, match.number"),
        ("{}", "{} in a template: expected one of event.sender_name, event.text, match.number"),
        ("{0.__class__}", "expected one of"),
        ("{event.text.__class__}", "did you mean {event.text}?"),
        ("{event.text[0]}", "did you mean {event.text}?"),
        ("{event.text!r}", "did you mean {event.text}?"),
        ("{event.text:>1000000000}", "{event.text:>1000000000} in a template"),
        ("{event.data}", "{event.data} in a template"),
        ("{event.{match.number}}", "a single { in a template; for a brace write {{"),
        ("a } b", "a single } in a template; for a brace write }}"),
        ("{event.text", "a single { in a template"),
    ],
)
def test_a_place_without_meaning_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text, NAMES)

    assert problem in str(caught.value)


def test_a_long_value_is_cut() -> None:
    filled = parse("{event.text}" * 3, NAMES).fill({"event.text": "x" * 1_000_000})

    assert len(filled) == 60_000

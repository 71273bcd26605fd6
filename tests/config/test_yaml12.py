from __future__ import annotations

import pytest

from router.config.yaml12 import MAX_DEPTH, MAX_VALUES, YamlError, compose, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("null", None),
        ("Null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+12", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("18446744073709551615", 2**64 - 1),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("0.5E-1", 0.05),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(text: str, value: object) -> None:
    meant = resolve(text)
    assert (type(meant), meant) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "no", "on", "off", "y", "N", "Yes", "tRUE"),
        *("12:30", "1:2:3", "2026-11-24", "2026-11-24T10:00:00Z"),
        *("0123", "007", "-0123", "00.5", "0b101", "1_000", "0O17", "0xZZ", "1e", "."),
        *("nULL", "None", "=", "1 000", " 1", "1\n", "١٢"),
    ],
)
def test_what_people_write_in_a_chat_stays_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "18446744073709551616", "-" + "9" * 5000])
def test_a_number_that_does_not_travel_in_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        resolve(text)


def _bomb() -> str:
    names = zip("abcdefgh", "bcdefghi", strict=True)
    levels = [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in names]
    return "\n".join(["a: &a [x, x, x, x, x, x, x, x, x, x]", *levels])


def _tower() -> str:
    names = zip("abcdefg", "bcdefgh", strict=True)
    return "\n".join(
        ["a: &a x", *(f"{name}: &{name} [[[[[[[[[[*{before}]]]]]]]]]]" for before, name in names)]
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: *x", "1:4: alias '*x' has no anchor '&x' before it"),
        ("a: &x [*x]", "1:8: alias '*x' stands inside its own anchor"),
        ("a: 1\n---\nb: 2", "2:1: a second document: expected a single one, without another '---'"),
        ("[" * 5000, "1:65: nested too deeply: expected at most 64 levels"),
        (_bomb(), "5:44: too large: expected at most 100000 values with aliases followed"),
        (_tower(), "8:17: nested too deeply: expected at most 64 levels with aliases followed"),
        ("a: 1\r\nb: \x07", "2:4: not valid YAML: the character U+0007 is not allowed"),
        ('a: "\\UFFFFFFFF"', "1:7: not valid YAML: a number here is out of range"),
        ("%YAML 1." + "9" * 5000 + "\n---\na", "1:9: not valid YAML: a number here is out of range"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_text_that_cannot_be_read_is_told_in_one_line(text: str, line: str) -> None:
    with pytest.raises(YamlError) as raised:
        compose(text)
    error = raised.value
    assert f"{error.place.line}:{error.place.column}: {error.message}" == line


def test_a_text_at_the_limits_is_read() -> None:
    assert compose("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    root = compose("[" + "x," * (MAX_VALUES - 1) + "]")
    assert root is not None
    assert root.size == MAX_VALUES


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_a_text_without_a_document_is_nothing(text: str) -> None:
    assert compose(text) is None

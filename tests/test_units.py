from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config import routes_schema
from router.units import amount, seconds, size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("7d", 604800.0),
        ("1d2h3m4s5ms", 93784.005),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("512B", 512),
        ("2KB", 2000),
        ("2KiB", 2048),
        ("2MiB", 2097152),
        ("1MB", 10**6),
        ("1GiB", 2**30),
        ("1GB", 10**9),
    ],
)
def test_a_size_is_a_whole_number_and_a_unit(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "5 m",
        "-5m",
        "30m1h",
        "5m5m",
        "1.5.1s",
        "5M",
        "5min",
        "1w",
        ".5s",
        "30s\n",
        "1234567890s",
    ],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


@pytest.mark.parametrize("text", ["", "2", "MiB", "2 MiB", "-2MiB", "2.5MiB", "2mib", "2M", "2MiB\n"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        size(text)


def _accepted(text: str) -> bool:
    try:
        amount(text)
    except ValueError:
        return False
    return True


@given(st.text("0123456789.dhmsBKMGi", max_size=12))
def test_the_schema_accepts_what_is_read_and_nothing_else(text: str) -> None:
    forms = [routes_schema()["$defs"][name]["anyOf"][0]["pattern"] for name in ("duration", "size")]
    assert any(re.fullmatch(form, text) for form in forms) == _accepted(text)

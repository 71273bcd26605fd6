"""JSON in and JSON out. Neither way raises, whatever the bytes or the value."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from router.events import JsonObject, Problem

#: Python refuses to read longer integers; they are kept as floats.
_MAX_DIGITS = 4_000
#: What steers a terminal or breaks a line. Of these JSON escapes only what is below U+0020.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def parse(body: bytes) -> JsonObject | Problem:
    """Read a body as a JSON object.

    orjson reads nearly all. What it refuses but a messenger's text may hold (half a surrogate pair
    where a text was cut, a byte order mark) is read by the standard library; a lone surrogate, which
    can be neither printed nor stored as text, becomes U+FFFD. Of a key given twice the last counts.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        return _parse_leniently(body, str(exc))
    return value if isinstance(value, dict) else _no_object(value)


def same_content(one: bytes, other: bytes) -> bool:
    """Tell whether two bodies say the same, whatever the order of their keys."""
    if one == other:
        return True
    first, second = parse(one), parse(other)
    return isinstance(first, dict) and first == second


def dump(value: Any, *, indent: bool = False) -> str:
    """Return JSON text, on one line unless indented. What JSON has no form for is shown as text."""
    option = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, default=str, option=option).decode()
    except orjson.JSONEncodeError:  # nested deeper, a larger number or half a surrogate pair
        pass
    try:
        text: str = _mend(json.dumps(value, default=str, ensure_ascii=False, indent=2 if indent else None))
    except Exception:  # a circle, a key of an odd type, or whatever the value's own __str__ raises
        text = json.dumps(f"[{type(value).__name__} that cannot be shown]")
    return text


def harmless(text: str) -> str:
    """Return a text without what would steer a terminal; its lines stay lines."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _parse_leniently(body: bytes, reason: str) -> JsonObject | Problem:
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse, parse_int=_int)
        return _mend(value) if isinstance(value, dict) else _no_object(value)
    except UnicodeDecodeError as exc:
        return Problem("$", "json", f"expected UTF-8, found byte 0x{body[exc.start]:02x} at {exc.start}")
    except RecursionError:
        return Problem("$", "json", "expected a JSON object, found one nested too deeply")
    except ValueError:
        return Problem("$", "json", f"expected a JSON object: {reason}")


def _no_object(value: object) -> Problem:
    return Problem("$", "json", f"expected a JSON object, found {_NAMES[type(value)]}")


_NAMES = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) < _MAX_DIGITS else float(digits)


def _mend(value: Any) -> Any:
    """Replace lone surrogates, in keys as well, and keep whole pairs."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value

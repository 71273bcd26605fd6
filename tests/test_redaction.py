from __future__ import annotations

import json
from hashlib import sha256
from urllib.parse import quote, quote_plus

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.redaction import Redactor

ODD = 'pa"ss\\wo/rd é\t&\x7f'

WRITTEN = {
    "as it is": ODD,
    "repr": repr(ODD),
    "JSON": json.dumps(ODD),
    "JSON that keeps letters": json.dumps(ODD, ensure_ascii=False),
    "orjson": orjson.dumps(ODD).decode(),
    "repr in JSON": json.dumps(repr(ODD)),
    "JSON in JSON": json.dumps(json.dumps(ODD)),
    "path of a URL": f"https://api/waInstance1/getSettings/{quote(ODD, safe='')}",
    "path of a URL that keeps slashes": f"https://api/{quote(ODD)}/x",
    "query of a URL": f"https://api/?token={quote_plus(ODD)}&x=1",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_secret_is_taken_out_however_it_is_written(text: str) -> None:
    redacted = Redactor([ODD])(f"before {text} after")
    assert "[secret]" in redacted
    assert not [part for part in ("pa", "ss", "wo", "rd") if part in redacted.replace("waInst", "")]
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")


def test_every_occurrence_of_every_secret_is_taken_out() -> None:
    redact = Redactor(["d75b3a66", "tok.*en"])
    assert redact("d75b3a66 tok.*en tokken d75b3a66d75b3a66") == "[secret] [secret] tokken [secret][secret]"


def test_a_secret_that_holds_another_is_taken_out_whole() -> None:
    assert Redactor(["abcdef", "abcdef-123456"])("abcdef-123456 abcdef") == "[secret] [secret]"


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_without_secrets_nothing_changes(secrets: list[str]) -> None:
    assert Redactor(secrets)("nothing to hide") == "nothing to hide"


MANY = [sha256(b"%d" % number).hexdigest() for number in range(100)]
FEW = ["short-one", "a-secret-of-its-own-length"]


@pytest.mark.parametrize("secret", [*MANY[:5], *FEW])
def test_among_many_secrets_each_is_taken_out_wherever_it_stands(secret: str) -> None:
    redact = Redactor([*MANY, *FEW])
    for before in range(2 * len(secret)):
        for after in (0, 1, 40):
            hidden = redact.in_bytes(b"-" * before + secret.encode() + b"-" * after)
            assert hidden == b"-" * before + b"[secret]" + b"-" * after


def test_among_many_secrets_a_line_without_one_stays_as_it_is() -> None:
    line = b'{"event":"notification.accepted","token":"0000000000000000000000","x":"' + b"f" * 60 + b'"}'
    assert Redactor([*MANY, *FEW]).in_bytes(line) == line


@given(secret=st.text(min_size=6), around=st.text(max_size=3))
def test_no_secret_is_left_in_a_line_of_json(secret: str, around: str) -> None:
    line = orjson.dumps({"error": f"{around}{secret}{around}"}).decode()
    shown = Redactor([secret])(line)
    assert orjson.dumps(secret).decode()[1:-1] not in shown

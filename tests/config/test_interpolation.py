from __future__ import annotations

from pathlib import Path

import pytest

from router.config.interpolation import MAX_FILE, Filled, Sources

ENVIRON = {"NAME": "value", "EMPTY": "", "_x1": "under", "DOLLAR": "${NAME}", "BAD": "\udcff"}


def fill(text: str, folder: Path = Path()) -> Filled:
    return Sources(ENVIRON, folder).fill(text)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", Filled("plain")),
        ("${NAME}", Filled("value", ["value"])),
        ("a ${NAME} b ${_x1}!", Filled("a value b under!", ["value", "under"])),
        ("${EMPTY}", Filled("", [""])),
        ("${GONE:-other}", Filled("other")),
        ("${GONE:-}", Filled("")),
        ("${GONE:-a:-b}", Filled("a:-b")),
        ("${EMPTY:-other}", Filled("other")),
        ("${NAME:-other}", Filled("value", ["value"])),
        ("${DOLLAR}", Filled("${NAME}", ["${NAME}"])),
        ("$${NAME}", Filled("${NAME}")),
        ("$$${NAME}", Filled("$${NAME}")),
        ("$NAME $ {NAME} }", Filled("$NAME $ {NAME} }")),
    ],
)
def test_references_are_replaced_once(text: str, filled: Filled) -> None:
    assert fill(text) == filled


_FORMS = "expected ${NAME}, ${NAME:-default} or ${file:/a/path}; $${ stands for ${ itself"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("${GONE}", ["environment variable 'GONE' is not set: set it, or give a default as ${GONE:-…}"]),
        ("${}", [f"bad reference '${{}}': {_FORMS}"]),
        ("${1A}", [f"bad reference '${{1A}}': {_FORMS}"]),
        ("${NAME-x}", [f"bad reference '${{NAME-x}}': {_FORMS}"]),
        ("${NAME", [f"bad reference '${{NAME…': {_FORMS}"]),
        ("${file:x", [f"bad reference '${{file:x…': {_FORMS}"]),
        ("${BAD}", ["environment variable 'BAD' is not UTF-8"]),
        ("${file:no-such}", ["file 'no-such' cannot be read: No such file or directory"]),
        ("${file:/}", ["file '/' cannot be read: Is a directory"]),
        ("${file:a\0b}", ["file 'a\\x00b' cannot be read: no such path"]),
        (
            "${A} ${B}",
            [
                "environment variable 'A' is not set: set it, or give a default as ${A:-…}",
                "environment variable 'B' is not set: set it, or give a default as ${B:-…}",
            ],
        ),
    ],
)
def test_a_reference_without_a_value_is_a_problem(text: str, problems: list[str]) -> None:
    assert fill(text).problems == problems


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret", "secret"),
        (b"two\nlines\n\n", "two\nlines\n"),
        ("ключ".encode(), "ключ"),
    ],
)
def test_a_file_gives_its_content_without_the_last_newline(
    tmp_path: Path, content: bytes, value: str
) -> None:
    (tmp_path / "token").write_bytes(content)
    assert fill("${file:token}", tmp_path) == Filled(value, [], [value])
    assert fill(f"<${{file:{tmp_path}/token}}>") == Filled(f"<{value}>", [], [value])


def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert fill("${file:token}", tmp_path).problems == ["file 'token' is not UTF-8 text"]


def test_a_file_that_is_too_large_for_a_secret_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"x" * (MAX_FILE + 1))
    message = "file 'token' is larger than 64 KiB: expected a secret or a short text"
    assert fill("${file:token}", tmp_path).problems == [message]

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from router_media.names import (
    check_template,
    extension_of,
    file_name,
    is_own,
    is_stored,
    place_of,
    safe,
)

from router import Event
from router.testing import make_event


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("чек.pdf", "чек.pdf"),
        ("レシート.pdf", "レシート.pdf"),
        ("می‌خواهم.txt", "می‌خواهم.txt"),
        ("👨‍👩‍👧.png", "👨‍👩‍👧.png"),
        ("cafe\u0301.txt", "café.txt"),
        ('a/b\\c:d*e?f"g<h>i|j.txt', "a_b_c_d_e_f_g_h_i_j.txt"),
        ("...hidden", "hidden"),
        ("  spaces .txt ", "spaces .txt"),
        ("trailing...", "trailing"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a\x00\x1f\x7f\x85b\u2028c", "abc"),
        ("\ud800x", "x"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("LPT1.tar.gz", "_LPT1.tar.gz"),
        ("console", "console"),
        ("..", "unknown"),
        ("", "unknown"),
        ("\u200b", "unknown"),
    ],
    ids=ascii,
)
def test_names_become_safe_and_keep_their_letters(name: str, expected: str) -> None:
    assert safe(name) == expected


@given(st.text(), st.sampled_from(["", ".jpg"]))
def test_whatever_a_name_is_it_is_one_of_a_file(text: str, suffix: str) -> None:
    name = f"{'0' * 16}-{file_name(text, suffix)}"

    assert len(name.encode()) <= 255
    assert not set(name) & set('/\\\0:*?"<>|')
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} for char in name)
    assert is_stored(name)


@pytest.mark.parametrize(
    ("name", "suffix", "expected"),
    [
        ("a.jpg", ".png", "a.jpg"),
        ("a", ".png", "a.png"),
        ("a.", ".png", "a.png"),
        (".png", ".jpg", "png.jpg"),
        ("Dr. Smith and friends", ".txt", "Dr. Smith and friends.txt"),
        ("x" * 300 + ".pdf", "", "x" * 150 + ".pdf"),
        ("я" * 300 + ".pdf", "", "я" * 75 + ".pdf"),
        ("a." + "x" * 100, ".png", "a." + "x" * 100 + ".png"),
    ],
    ids=lambda text: text[:12],
)
def test_extensions_are_kept_when_a_name_is_cut(name: str, suffix: str, expected: str) -> None:
    assert file_name(name, suffix) == expected


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.JPG", "jpg"), ("a.tar.gz", "gz"), ("a", ""), (".bashrc", ""), ("a.", ""), ("a.b c", "")],
)
def test_extension(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def folder_of(event: Event, template: str) -> str:
    return place_of(event, template).folder


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        ("{date}/{chat}", "2024-01-29/79001234567@c.us"),
        ("{year}/{month}/{day}", "2024/01/29"),
        ("{instance}-{messenger}/{kind}", "1101000001-whatsapp/imageMessage"),
        ("photos//{sender}/", "photos/79001234567@c.us"),
        ("", ""),
    ],
)
def test_a_template_becomes_folders(template: str, folder: str) -> None:
    event = make_event(message_type="imageMessage", timestamp=1706505874)

    assert folder_of(event, template) == folder


@pytest.mark.parametrize(
    ("chat", "folder"),
    [("../../etc", "_.._etc"), ("..", "unknown"), ("a/b", "a_b"), ("CON", "_CON"), ("x" * 255, "x" * 100)],
)
def test_a_chat_stays_one_folder(chat: str, folder: str) -> None:
    assert folder_of(make_event(chat=chat, sender=chat), "{chat}") == folder


def test_what_a_message_lacks_is_unknown() -> None:
    event = make_event("new", data={"timestamp": None})

    assert folder_of(event, "{instance}/{chat}/{sender}/{kind}").split("/")[1:] == ["unknown"] * 3


@pytest.mark.parametrize("timestamp", [0, 10**18])
def test_a_time_that_is_none_is_when_it_was_received(timestamp: int) -> None:
    event = make_event(data={"timestamp": timestamp})

    assert folder_of(event, "{date}") == f"{event.received_at:%Y-%m-%d}"


@pytest.mark.parametrize(
    "change", [{"id_message": "M2"}, {"chat": "10000003@c.us"}, {"instance": 1101000002}]
)
def test_each_message_has_a_key_of_its_own(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"id_message": "M1", "chat": "10000002@c.us", "instance": 1101000001}

    assert place_of(make_event(**fields), "") == place_of(make_event(**fields), "")
    assert place_of(make_event(**fields), "").key != place_of(make_event(**{**fields, **change}), "").key


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{colour}", r"no field \{colour\}: fields are date, year"),
        ("/{date}", "expected folders below"),
        ("../{date}", "expected folders below"),
        ("a/./b", "expected folders below"),
        ("a\\b", "expected folders below"),
        ("{date", "expected each"),
        ("{chat.__class__}", "expected each"),
        ("{chat!r}", "expected each"),
        ("{}", r"no field \{\}"),
    ],
)
def test_templates_that_are_wrong(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_template(template)


@pytest.mark.parametrize(
    ("name", "stored", "own"),
    [
        ("0123456789abcdef-a.jpg", True, True),
        ("0123456789abcdef.json", False, True),
        (".0123456789abcdef-0123456789abcdef.part", False, False),
        ("0123456789abcdef", False, False),
        ("0123456789ABCDEF-a.jpg", False, False),
        ("notes.txt", False, False),
    ],
)
def test_names_of_our_own(name: str, stored: bool, own: bool) -> None:
    assert (is_stored(name), is_own(name)) == (stored, own)

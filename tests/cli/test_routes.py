from __future__ import annotations

from pathlib import Path

import pytest

from router import samples
from tests.cli.conftest import CALL, MESSAGE, Command


def test_routes_are_listed_in_their_order(router: Command) -> None:
    ended = router("routes", "--json")
    assert (ended.code, ended.json) == (
        0,
        [
            {
                "name": name,
                "types": [type_],
                "handler": handler,
                "order": "chat",
                "timeout": 30.0,
                "concurrency": 16,
                "attempts": 5,
                "stop": False,
            }
            for name, type_, handler in [
                ("calls", "incomingCall", "keep"),
                ("messages", "incomingMessageReceived", "refuse"),
            ]
        ],
    )


def test_routes_are_a_table_for_people(router: Command) -> None:
    lines = [line.split() for line in router("routes").out.splitlines()]
    assert lines == [
        ["name", "types", "handler", "order", "stop"],
        ["calls", '["incomingCall"]', "keep", "chat", "false"],
        ["messages", '["incomingMessageReceived"]', "refuse", "chat", "false"],
    ]


@pytest.mark.parametrize(
    ("notification", "matched"), [(CALL, [True, False]), (MESSAGE, [False, True])], ids=["call", "message"]
)
def test_it_is_explained_which_routes_take_a_notification(
    router: Command, notification: str, matched: list[bool]
) -> None:
    ended = router("routes", "--explain", notification, "--json")
    assert ended.code == 0
    assert [(row["route"], row["matched"]) for row in ended.json] == [
        ("calls", matched[0]),
        ("messages", matched[1]),
    ]
    assert all(set(row) == {"route", "matched", "reason"} and row["reason"] for row in ended.json)


def test_a_file_and_standard_input_are_explained_too(router: Command, folder: Path) -> None:
    (folder / "mine.json").write_bytes(samples.read(CALL))
    named = router("routes", "--explain", CALL, "--json")
    assert router("routes", "--explain", "mine.json", "--json") == named
    assert router("routes", "--explain", "-", "--json", stdin=samples.read(CALL)) == named


def test_a_sample_that_is_nearly_named_is_suggested(router: Command) -> None:
    ended = router("routes", "--explain", "wa-pickup")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "wa-pickup: no such file, and no sample is named 'wa-pickup'; "
        "did you mean 'incomingCall/wa-pickup.json'?\n"
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 10_000], ids=repr)
def test_what_is_no_notification_is_a_problem(router: Command, body: bytes) -> None:
    ended = router("routes", "--explain", "-", stdin=body)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("no notification: expected ")


def test_a_folder_is_no_notification(router: Command) -> None:
    ended = router("routes", "--explain", "plugins")
    assert (ended.code, ended.err.partition(":")[0]) == (1, "plugins")

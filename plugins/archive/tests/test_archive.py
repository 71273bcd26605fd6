from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from router_archive import OPTIONS, append, archive, line

from router import Context, Delivery, Event, plugins, samples
from router.events import Transport
from router.normalize import normalize


def event(*, received_at: datetime = datetime(2026, 11, 24, 23, 30, tzinfo=UTC), id_: str = "e1") -> Event:
    data = json.loads(samples.read("incomingMessageReceived/max-text-hidden-phone.json"))
    return normalize(data, id=id_, received_at=received_at, transport=Transport.WEBHOOK)


def context(**options: Any) -> Context:
    delivery = Delivery(id=1, event="e1", route="messages", handler="archive", attempt=1)
    return Context(event(), delivery, options)


def test_an_event_becomes_one_line_of_its_day(tmp_path: Path) -> None:
    archive(event(), context(folder=str(tmp_path / "deep" / "er")))

    lines = (tmp_path / "deep" / "er" / "2026-11-24.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(each) for each in lines] == [
        {
            "id": "e1",
            "type": "incomingMessageReceived",
            "instance": 3100000000,
            "messenger": "max",
            "chat": "10000000",
            "sender": "10000000",
            "message_type": "textMessage",
            "text": "Привет",
            "timestamp": 1763115112,
            "received_at": "2026-11-24T23:30:00+00:00",
            "transport": "webhook",
            "data": event().data,
        }
    ]
    assert "Привет" in lines[0]


@pytest.mark.parametrize("text", ["a\nb\r\n", "👋", "a\0b", "\u2028\x85", '"\\'], ids=ascii)
def test_whatever_a_text_holds_it_stays_in_its_line(text: str) -> None:
    data = {"typeWebhook": "new", "text": text}
    content = line(
        normalize(data, id="e1", received_at=datetime.now(UTC), transport=Transport.WEBHOOK), with_data=True
    )

    assert (content.count(b"\n"), content[-1:], json.loads(content)["data"]) == (1, b"\n", data)


def test_the_day_is_that_of_utc(tmp_path: Path) -> None:
    late = datetime(2026, 11, 24, 23, 30, tzinfo=timezone(timedelta(hours=-3)))

    archive(event(received_at=late), context(folder=str(tmp_path)))

    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-25.jsonl"]


def test_lines_are_appended(tmp_path: Path) -> None:
    for number in range(3):
        archive(event(id_=f"e{number}"), context(folder=str(tmp_path)))

    lines = (tmp_path / "2026-11-24.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(each)["id"] for each in lines] == ["e0", "e1", "e2"]


def test_the_notification_is_left_out_if_asked_for(tmp_path: Path) -> None:
    archive(event(), context(folder=str(tmp_path), data=False))

    assert "data" not in json.loads((tmp_path / "2026-11-24.jsonl").read_text("utf-8"))


def test_a_file_is_for_its_owner_only(tmp_path: Path) -> None:
    append(tmp_path / "day.jsonl", b"{}\n")

    assert stat.S_IMODE((tmp_path / "day.jsonl").stat().st_mode) == 0o600


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    contents = [bytes([65 + number % 26]) * 20_000 + b"\n" for number in range(50)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda content: append(path, content), contents))

    assert sorted(path.read_bytes().splitlines(keepends=True)) == sorted(contents)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_fails_the_attempt() -> None:
    with pytest.raises(OSError, match="No space left"):
        append(Path("/dev/full"), b"{}\n")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: the kernel then takes a part, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_fits_in_part_fails_the_attempt(tmp_path: Path) -> None:
    with room_for(10), pytest.raises(OSError, match="No space left"):
        append(tmp_path / "day.jsonl", b"x" * 20 + b"\n")

    assert (tmp_path / "day.jsonl").read_bytes() == b"x" * 10


def test_behind_a_part_of_a_line_the_next_ones_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    append(path, b"first\n")
    with room_for(9), pytest.raises(OSError, match="No space left"):
        append(path, b"second\n")

    append(path, b"second\n")
    append(path, b"third\n")

    assert path.read_bytes() == b"first\nsec\nsecond\nthird\n"


def test_a_folder_that_cannot_be_made_fails_the_attempt(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(OSError, match="file"):
        archive(event(), context(folder=str(tmp_path / "file" / "folder")))


@pytest.mark.parametrize(
    ("options", "is_valid"),
    [
        ({"folder": "var/archive"}, True),
        ({"folder": "var/archive", "data": False}, True),
        ({}, False),
        ({"folder": ""}, False),
        ({"folder": 5}, False),
        ({"folder": "x", "data": "yes"}, False),
        ({"folder": "x", "colour": "red"}, False),
    ],
    ids=repr,
)
def test_options_are_checked(options: dict[str, Any], is_valid: bool) -> None:
    assert Draft202012Validator(OPTIONS).is_valid(options) is is_valid


def test_what_was_written_is_on_the_disk_before_the_delivery_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fsync(file: int) -> None:
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    append(tmp_path / "day.jsonl", b"{}\n")

    assert synced == [3]


def test_it_is_found_by_its_name() -> None:
    found = plugins.load(plugins.Wanted(handlers=frozenset({"archive"})))

    handler = found.handlers["archive"]
    assert (found.problems, handler.call, handler.is_async, handler.options.schema) == (
        [],
        archive,
        False,
        OPTIONS,
    )

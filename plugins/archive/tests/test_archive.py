from __future__ import annotations

import fcntl
import json
import os
import resource
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from router_archive import Options, archive
from router_archive.files import append
from router_archive.lines import line

from router import Context, Delivery, Event
from router.testing import make_event


def event(*, received_at: datetime = datetime(2026, 11, 24, 23, 30, tzinfo=UTC), id_: str = "e1") -> Event:
    sample = "incomingMessageReceived/max-text-hidden-phone.json"
    return make_event(sample=sample, timestamp=1763115112, id=id_, received_at=received_at)


def keep(event: Event, **options: Any) -> None:
    delivery = Delivery(id=1, event="e1", route="messages", handler="archive", attempt=1)
    archive(event, Context(event, delivery, Options(**options)))


def test_an_event_becomes_one_line_of_its_day(tmp_path: Path) -> None:
    kept = event()
    keep(kept, folder=str(tmp_path / "deep" / "er"))

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
            "data": kept.data,
        }
    ]
    assert "Привет" in lines[0]


@pytest.mark.parametrize("text", ["a\nb\r\n", "👋", "a\0b", "\u2028\x85", '"\\'], ids=ascii)
def test_whatever_a_text_holds_it_stays_in_its_line(text: str) -> None:
    kept = make_event("new", data={"text": text})
    content = line(kept, with_data=True)

    assert (content.count(b"\n"), content[-1:], json.loads(content)["data"]) == (1, b"\n", kept.data)


def test_the_day_is_that_of_utc(tmp_path: Path) -> None:
    late = datetime(2026, 11, 24, 23, 30, tzinfo=timezone(timedelta(hours=-3)))

    keep(event(received_at=late), folder=str(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-25.jsonl"]


def test_lines_are_appended(tmp_path: Path) -> None:
    for number in range(3):
        keep(event(id_=f"e{number}"), folder=str(tmp_path))

    lines = (tmp_path / "2026-11-24.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(each)["id"] for each in lines] == ["e0", "e1", "e2"]


def test_the_notification_is_left_out_if_asked_for(tmp_path: Path) -> None:
    keep(event(), folder=str(tmp_path), data=False)

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
        keep(event(), folder=str(tmp_path / "file" / "folder"))


@pytest.mark.parametrize(
    ("options", "is_valid"),
    [
        ({"folder": "var/archive"}, True),
        ({"folder": "var/archive", "data": False}, True),
        ({"folder": "var/archive", "format": "jsonl"}, True),
        ({"folder": "var/archive", "format": "csv"}, False),
        ({}, False),
        ({"folder": ""}, False),
        ({"folder": 5}, False),
        ({"folder": "x", "data": "yes"}, False),
    ],
    ids=repr,
)
def test_options_are_checked(options: dict[str, Any], is_valid: bool) -> None:
    with nullcontext() if is_valid else pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_parquet_without_pyarrow_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_archive.files.find_spec", lambda name: None)

    with pytest.raises(ValueError, match=r"install green-event-router-archive\[parquet\]"):
        Options(folder="x", format="parquet")


def test_what_was_written_is_on_the_disk_before_the_delivery_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fsync(file: int) -> None:
        synced.append(-1 if stat.S_ISDIR(os.fstat(file).st_mode) else os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    append(tmp_path / "day.jsonl", b"{}\n")
    append(tmp_path / "day.jsonl", b"{}\n")

    assert synced == [3, -1, 6]  # a new file's name as well


def test_a_line_is_never_written_to_a_file_that_was_removed_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    append(path, b"first\n")
    with path.open("rb") as file, ThreadPoolExecutor(1) as threads:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = threads.submit(append, path, b"second\n")
        until(lambda: waits_for_lock(path))
        path.unlink()
        fcntl.flock(file, fcntl.LOCK_UN)
        waiting.result(5)

    assert path.read_bytes() == b"second\n"


def waits_for_lock(path: Path) -> bool:
    """Return whether somebody waits for the lock of a file: such a line of the kernel's list has an arrow."""
    number = f":{path.stat().st_ino} "
    return any("->" in each and number in each for each in Path("/proc/locks").read_text().splitlines())


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from router_archive import Options, startup
from router_archive.conversion import convert_what_is_over
from router_archive.files import append
from router_archive.lines import line

from router import Event, PluginRoute, now
from router.testing import make_event

pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")

from router_archive import parquet  # noqa: E402 - it needs pyarrow
from router_archive.parquet import Busy, NotVerified, Stopped, convert  # noqa: E402

DAY = datetime(2026, 11, 24, 23, 30, 0, 123456, tzinfo=UTC)


def event(number: int, **fields: Any) -> Event:
    return make_event(id=f"e{number}", received_at=DAY, **{"text": f"text {number}", **fields})


def log_of(folder: Path, events: list[Event], *, with_data: bool = True) -> Path:
    path = folder / "2026-11-24.jsonl"
    for each in events:
        append(path, line(each, with_data=with_data))
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def ids(path: Path) -> list[str]:
    return [row["id"] for row in rows(path)]


def test_a_day_becomes_parquet_with_all_there_is_of_an_event(tmp_path: Path) -> None:
    kept = event(1, text="Привет 👋\0")

    done = convert(log_of(tmp_path, [kept]))

    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-24.parquet"]
    assert (done.rows, done.damaged) == (1, 0)
    (row,) = rows(done.file)
    assert json.loads(row.pop("data")) == kept.data
    assert row == {
        "id": "e1",
        "type": "incomingMessageReceived",
        "instance": kept.instance,
        "messenger": "whatsapp",
        "chat": kept.chat,
        "sender": kept.sender,
        "message_type": "textMessage",
        "text": "Привет 👋\0",
        "timestamp": kept.timestamp,
        "received_at": DAY,
        "transport": "webhook",
    }


def test_the_columns_have_types(tmp_path: Path) -> None:
    schema = pq.read_schema(convert(log_of(tmp_path, [event(1)])).file)

    assert {name: str(schema.field(name).type) for name in ("instance", "received_at", "data")} == {
        "instance": "int64",
        "received_at": "timestamp[us, tz=UTC]",
        "data": "string",
    }


def test_data_is_null_where_it_was_not_kept(tmp_path: Path) -> None:
    assert rows(convert(log_of(tmp_path, [event(1)], with_data=False)).file)[0]["data"] is None


def test_a_number_that_no_column_holds_stays_in_data(tmp_path: Path) -> None:
    log = tmp_path / "2026-11-24.jsonl"
    record = json.loads(line(event(1), with_data=True)) | {"timestamp": 10**18 * 10}
    append(log, json.dumps(record).encode() + b"\n")

    (row,) = rows(convert(log).file)

    assert row["timestamp"] is None


def test_order_is_kept_and_the_first_of_an_id(tmp_path: Path) -> None:
    events = [event(2), event(1), event(2, text="again"), event(3)]

    done = convert(log_of(tmp_path, events))

    assert [(row["id"], row["text"]) for row in rows(done.file)] == [
        ("e2", "text 2"),
        ("e1", "text 1"),
        ("e3", "text 3"),
    ]


def test_more_rows_than_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_ROWS", 2)

    done = convert(log_of(tmp_path, [event(number) for number in range(5)]))

    assert ids(done.file) == ["e0", "e1", "e2", "e3", "e4"]
    assert pq.ParquetFile(done.file).num_row_groups == 3


def test_lines_that_come_later_are_merged(tmp_path: Path) -> None:
    convert(log_of(tmp_path, [event(1), event(2)]))

    done = convert(log_of(tmp_path, [event(2), event(3)]))

    assert ids(done.file) == ["e1", "e2", "e3"]


def test_lines_that_come_while_it_runs_are_taken_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path, [event(1)])
    late = [event(2)]
    monkeypatch.setattr(parquet._Day, "_verify", adding(lambda: late and log_of(tmp_path, [late.pop()])))

    done = convert(log)

    assert (ids(done.file), log.exists()) == (["e1", "e2"], False)


def adding(what: Callable[[], object]) -> Callable[[Any, Path], None]:
    verify = parquet._Day._verify

    def wrapped(self: Any, part: Path) -> None:
        verify(self, part)
        what()

    return wrapped


def test_damaged_lines_are_kept_beside(tmp_path: Path) -> None:
    log = log_of(tmp_path, [event(1)])
    with log.open("ab") as file:
        file.write(
            b'{"id": "e2", "recei\n[]\n{}\n{"id": "e3", "received_at": "never"}\n\n' + b"[" * 100_000 + b"\n"
        )
    log_of(tmp_path, [event(4)])

    done = convert(log)

    assert (ids(done.file), done.damaged) == (["e1", "e4"], 5)
    kept = (tmp_path / "2026-11-24.damaged").read_bytes().splitlines()
    assert kept == [
        b'{"id": "e2", "recei',
        b"[]",
        b"{}",
        b'{"id": "e3", "received_at": "never"}',
        b"[" * 100_000,
    ]


@pytest.mark.parametrize("step", ["_verify", "_keep_damaged"])
def test_after_a_crash_before_the_file_is_in_place_the_lines_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    log = log_of(tmp_path, [event(1)])
    before = log.read_bytes()
    monkeypatch.setattr(parquet._Day, step, failing)
    with pytest.raises(OSError, match="full"):
        convert(log)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {log.name: before}


def failing(*_: object) -> None:
    raise OSError("full")


def test_after_a_crash_before_the_lines_are_removed_it_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path, [event(1), event(2)])
    with log.open("ab") as file:
        file.write(b"{broken\n")
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "_remove", failing)
        with pytest.raises(OSError, match="full"):
            convert(log)
    assert log.exists()

    done = convert(log)

    assert (ids(done.file), log.exists()) == (["e1", "e2"], False)
    assert (tmp_path / "2026-11-24.damaged").read_bytes() == b"{broken\n"


def test_a_part_that_a_crash_left_is_in_nobodys_way(tmp_path: Path) -> None:
    log = log_of(tmp_path, [event(1)])
    (tmp_path / ".2026-11-24.parquet.part").write_bytes(b"PAR1")

    convert(log)

    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-24.parquet"]


def test_what_was_not_written_as_wanted_is_found_before_the_lines_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path, [event(1), event(2)])

    def groups(path: Path) -> Iterator[Any]:
        yield pq.read_table(path).slice(0, 1)

    monkeypatch.setattr(parquet, "_groups", groups)
    with pytest.raises(NotVerified, match="row group 1"):
        convert(log)

    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_the_file_is_on_the_disk_before_the_lines_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path, [event(1)])
    steps: list[str] = []
    fsync, replace, unlink = os.fsync, Path.replace, Path.unlink

    def synced(file: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        fsync(file)

    def replaced(self: Path, target: Path) -> Path:
        steps.append("renamed")
        return replace(self, target)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        if self == log:
            steps.append("removed")
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    convert(log)

    assert steps == ["file", "renamed", "folder", "removed", "folder"]


def test_two_do_not_convert_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(tmp_path, [event(1)])

    def second() -> None:
        with pytest.raises(Busy):
            convert(log)

    monkeypatch.setattr(parquet._Day, "_verify", adding(second))
    assert convert(log).rows == 1


def test_it_can_be_stopped(tmp_path: Path) -> None:
    log = log_of(tmp_path, [event(1)])

    with pytest.raises(Stopped):
        convert(log, lambda: True)

    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    log = log_of(tmp_path, [event(1)])
    with log.open("ab") as file:
        file.write(b"{\n")

    convert(log)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


# The task


def logger_to(lines: list[dict[str, Any]]) -> Any:
    def keep(_: object, method: str, facts: Any) -> Any:
        lines.append({"level": method, **facts})
        raise structlog.DropEvent

    return structlog.wrap_logger(None, processors=[keep])


def test_only_days_that_are_over_are_converted(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    days = [f"{now() - timedelta(days=days):%Y-%m-%d}" for days in (3, 2, 0)]
    for day in days:
        append(tmp_path / f"{day}.jsonl", line(event(1), with_data=True))
    (tmp_path / "2026-13-99.jsonl").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")

    convert_what_is_over([tmp_path / "missing", tmp_path], logger_to(lines), lambda: False)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["2026-13-99.jsonl", "notes.txt", f"{days[0]}.parquet", f"{days[1]}.parquet", f"{days[2]}.jsonl"]
    )
    assert [(each["event"], each["file"], each["rows"], each["damaged"]) for each in lines] == [
        ("archive.parquet_written", str(tmp_path / f"{day}.parquet"), 1, 0) for day in days[:2]
    ]


def test_a_day_that_fails_hinders_no_other(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    for day in ("2026-01-01", "2026-01-02"):
        append(tmp_path / f"{day}.jsonl", line(event(1), with_data=True))
    (tmp_path / "2026-01-01.parquet").write_bytes(b"no Parquet")

    convert_what_is_over([tmp_path], logger_to(lines), lambda: False)

    assert [(each["level"], each["event"]) for each in lines] == [
        ("error", "archive.parquet_failed"),
        ("info", "archive.parquet_written"),
    ]
    assert (tmp_path / "2026-01-01.jsonl").exists()


async def test_the_task_runs_for_routes_that_ask_for_it_and_ends_with_the_router(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    for name in ("lines", "parquet"):
        (tmp_path / name).mkdir()
        append(tmp_path / name / "2026-01-01.jsonl", line(event(1), with_data=True))
    routes = [
        PluginRoute("one", "archive", Options(folder=str(tmp_path / "lines"))),
        PluginRoute("two", "archive", Options(folder=str(tmp_path / "parquet"), format="parquet")),
    ]

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await startup(tasks=tasks, routes=routes, logger=logger_to(lines))  # type: ignore[arg-type]
            while not lines:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    assert sorted(path.name for path in tmp_path.rglob("2026*")) == ["2026-01-01.jsonl", "2026-01-01.parquet"]
    assert (tmp_path / "lines" / "2026-01-01.jsonl").exists()

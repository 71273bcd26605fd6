from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from router_archive import register_commands
from router_archive.files import append
from router_archive.lines import line
from typer.testing import CliRunner, Result

from router.testing import make_event


def run(*arguments: str) -> Result:
    app = typer.Typer()
    register_commands(lambda name, command: app.command(name)(command) and None)
    return CliRunner().invoke(app, arguments)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    for day, numbers in (("2026-01-23", (1, 2, 1)), ("2026-01-24", (3,))):
        for number in numbers:
            kept = make_event(id=f"e{number}", received_at=datetime(2026, 11, 24, tzinfo=UTC))
            append(tmp_path / f"{day}.jsonl", line(kept, with_data=True))
    return tmp_path


def test_the_events_of_each_day_are_counted(folder: Path) -> None:
    result = run("check", str(folder))

    assert result.output.splitlines() == [
        "2026-01-23.jsonl: 2 events, 1 lines more of the same events",
        "2026-01-24.jsonl: 1 events",
    ]
    assert result.exit_code == 0


def test_damaged_lines_are_named(folder: Path) -> None:
    with (folder / "2026-01-24.jsonl").open("ab") as file:
        file.write(b'{"id": \n\n\xff\n')

    result = run("check", str(folder))

    assert result.output.splitlines()[1:] == ["2026-01-24.jsonl: 1 events, damaged: lines 2, 4"]
    assert result.exit_code == 1


def test_as_json(folder: Path) -> None:
    result = run("check", "--json", str(folder))

    found: list[dict[str, Any]] = json.loads(result.output)
    assert found[0] == {"file": "2026-01-23.jsonl", "events": 2, "again": 1, "damaged": [], "error": None}


def test_days_become_parquet_and_are_counted_as_before(folder: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")

    result = run("parquet", str(folder))

    assert result.output.splitlines() == [
        f"{folder}/2026-01-23.parquet: 2 events",
        f"{folder}/2026-01-24.parquet: 1 events",
    ]
    assert run("check", str(folder)).output.splitlines()[0] == "2026-01-23.parquet: 2 events"
    assert run("parquet", str(folder)).output == ""


def test_a_parquet_file_that_is_none_is_told_in_one_line(folder: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    (folder / "2026-01-23.parquet").write_bytes(b"no Parquet at all")

    checked, converted = run("check", str(folder)), run("parquet", str(folder))

    assert (checked.exit_code, converted.exit_code) == (1, 1)
    assert "2026-01-23.parquet: Parquet magic bytes not found" in checked.output
    assert f"{folder}/2026-01-23.jsonl: " in converted.output
    assert (folder / "2026-01-23.jsonl").exists()


def test_without_pyarrow_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.delitem(sys.modules, "router_archive.parquet", raising=False)

    result = run("parquet", str(folder))

    assert (result.exit_code, result.output) == (
        1,
        "it needs pyarrow: install green-event-router-archive[parquet]\n",
    )


def test_a_folder_that_is_not_there_is_a_usage_error() -> None:
    assert run("check", "nowhere").exit_code == 2

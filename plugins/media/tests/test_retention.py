from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from router_media import Options, _kept
from router_media.retention import Removed, tidy, tidy_for_ever

from router import Duration

KEY = "0123456789abcdef"
DAY = 86400.0


def make(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    at = time.time() - days * DAY
    os.utime(path, (at, at))
    return path


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def test_only_what_is_old_and_our_own_is_removed(tmp_path: Path) -> None:
    make(tmp_path / "old" / "chat" / f"{KEY}-a.jpg", 31)
    make(tmp_path / "old" / "chat" / f"{KEY}.json", 31)
    make(tmp_path / "mixed" / f"{KEY}-a.jpg", 31)
    make(tmp_path / "mixed" / f"{KEY}-b.jpg", 29)
    make(tmp_path / "mixed" / "notes.txt", 31)

    assert tidy(tmp_path, 30 * DAY) == Removed(files=3, parts=0)

    assert names(tmp_path) == ["mixed", f"mixed/{KEY}-b.jpg", "mixed/notes.txt"]


def test_without_keep_only_dead_parts_are_removed(tmp_path: Path) -> None:
    make(tmp_path / f".{KEY}-{KEY}.part", 2)
    fresh = make(tmp_path / f".{KEY}-{KEY[::-1]}.part", 0)
    old = make(tmp_path / f"{KEY}-a.jpg", 1000)

    assert tidy(tmp_path, None) == Removed(files=0, parts=1)

    assert names(tmp_path) == sorted([fresh.name, old.name])


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert tidy(tmp_path / "missing", DAY) == Removed(0, 0)


def test_links_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere" / f"{KEY}-a.jpg", 31)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")

    assert tidy(tmp_path / "root", DAY) == Removed(0, 0)


@pytest.mark.parametrize(
    ("keeps", "longest"), [((None,), None), ((5.0,), 5.0), ((5.0, 9.0), 9.0), ((5.0, None), None)]
)
def test_of_several_routes_of_a_folder_the_longest_counts(
    keeps: tuple[float | None, ...], longest: float | None
) -> None:
    options = [Options(folder="x", keep=None if keep is None else Duration(keep)) for keep in keeps]

    assert _kept(options) == {Path("x"): longest}


async def test_the_task_tells_what_it_removed_and_what_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").mkdir()
    for name in ("one", "two"):
        make(tmp_path / name / f"{KEY}-a.jpg", 31)
    unlink = Path.unlink

    def failing(self: Path, missing_ok: bool = False) -> None:
        if self.parent.name == "one":
            raise PermissionError(1, "Operation not permitted", str(self))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", failing)
    lines: list[dict[str, Any]] = []

    def keep(_: object, method: str, facts: Any) -> Any:
        lines.append({"level": method, **facts})
        raise structlog.DropEvent

    logger = structlog.wrap_logger(None, processors=[keep])
    folders: dict[Path, float | None] = {tmp_path / name: DAY for name in ("none", "one", "two")}
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tidy_for_ever, folders, logger)
            while len(lines) < 2:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    told = [(line["level"], line["event"], line["folder"], line.get("files")) for line in lines]
    assert told == [
        ("warning", "media.tidy_failed", str(tmp_path / "one"), None),
        ("info", "media.removed", str(tmp_path / "two"), 1),
    ]

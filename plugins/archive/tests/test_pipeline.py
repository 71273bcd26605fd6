"""The handlers in a router."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router import now
from router.testing import StartRouter, make_event


def routes(handler: str, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "all", "type": "*", "handler": handler, "options": options}]


async def test_events_are_kept_in_their_order(router_harness: StartRouter, tmp_path: Path) -> None:
    router = await router_harness(routes("archive", folder=str(tmp_path)))
    day = now()

    for number in range(3):
        await router.send(make_event(text=f"text {number}"))
    await router.settle()

    router.assert_done("all", count=3)
    lines = (tmp_path / f"{day:%Y-%m-%d}.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["text 0", "text 1", "text 2"]


async def test_a_folder_that_cannot_be_written_is_tried_again(
    router_harness: StartRouter, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    router = await router_harness(routes("archive", folder=str(tmp_path / "file")))
    await router.send(make_event())
    await router.settle()
    (delivery,) = router.deliveries("all")
    assert "FileExistsError" in str(delivery.error)

    (tmp_path / "file").unlink()
    await router.advance("1m")

    router.assert_done("all", count=1)


async def test_a_day_becomes_parquet_when_it_is_over(router_harness: StartRouter, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    router = await router_harness(routes("archive", folder=str(tmp_path), format="parquet"))
    day = now()
    await router.send(make_event())
    await router.settle()

    await router.advance("25h")
    for _ in range(1000):  # a thread of a plugin is not waited for
        if not list(tmp_path.glob("*.jsonl")):
            break
        await router.advance("10m")

    assert [path.name for path in tmp_path.iterdir()] == [f"{day:%Y-%m-%d}.parquet"]


async def test_an_event_becomes_a_row(router_harness: StartRouter, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")
    router = await router_harness(routes("archive.sql", url=f"sqlite:///{tmp_path}/a.db"))
    (tmp_path / "a.db").rename(tmp_path / "b.db")
    (tmp_path / "a.db").mkdir()
    await router.send(make_event())
    await router.settle()
    (delivery,) = router.deliveries("all")
    assert delivery.error is not None

    (tmp_path / "a.db").rmdir()
    (tmp_path / "b.db").rename(tmp_path / "a.db")
    await router.advance("1m")

    router.assert_done("all", count=1)

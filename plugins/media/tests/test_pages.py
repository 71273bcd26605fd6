from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import router_media
from router_media import Options, register_pages, startup
from router_media.pages import Pages, latest
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from router import PluginRoute

KEY = "0123456789abcdef"


class NoTasks:
    """Stands in for the router's tasks: notes what is started, and runs nothing."""

    def __init__(self) -> None:
        self.started: list[tuple[Any, ...]] = []

    def start_soon(self, func: Any, *args: Any) -> None:
        self.started.append(args)


def client_of(pages: Pages) -> TestClient:
    routes = [Route("/", pages.index), Route("/files/{route}/{path:path}", pages.file)]
    return TestClient(Starlette(routes=[Mount("/plugins/media", routes=routes)]))


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for number, name in enumerate(
        [f"{KEY}-a.html", f"day/{KEY}-чек & <b>.pdf", f"day/{KEY}.json", "notes.txt"]
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        os.utime(path, (1_700_000_000 + number,) * 2)
    (tmp_path / f"{KEY}-outside").write_bytes(b"secret")
    return root


@pytest.fixture(name="client")
def _client(root: Path) -> TestClient:
    pages = Pages()
    pages.show({"a route": root, "bucket": None, "empty": root / "missing"})
    return client_of(pages)


def test_the_latest_files_are_listed_newest_first(root: Path) -> None:
    assert [(found.path, found.size) for found in latest(root)] == [
        (f"day/{KEY}-чек & <b>.pdf", 37),
        (f"{KEY}-a.html", 23),
    ]
    assert len(latest(root, 1)) == 1


def test_the_list_has_links_that_lead_to_the_files(client: TestClient) -> None:
    page = client.get("/plugins/media/")

    link = f"files/a%20route/day/{KEY}-%D1%87%D0%B5%D0%BA%20%26%20%3Cb%3E.pdf"
    assert f'<a href="{link}">day/{KEY}-чек &amp; &lt;b&gt;.pdf</a>' in page.text
    assert "2023-11-14 22:13:21" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    assert "sandbox" not in page.headers["content-security-policy"]  # or nothing could be saved from it
    assert "Its files are in a bucket." in page.text
    assert "No file." in page.text
    assert ".json" not in page.text
    assert client.get(f"/plugins/media/{link}").content == f"day/{KEY}-чек & <b>.pdf".encode()


def test_a_file_is_saved_and_not_shown(client: TestClient) -> None:
    response = client.get(f"/plugins/media/files/a route/{KEY}-a.html")

    assert response.status_code == 200
    assert {name: response.headers[name] for name in ("content-type", "x-content-type-options")} == {
        "content-type": "application/octet-stream",
        "x-content-type-options": "nosniff",
    }
    assert response.headers["content-disposition"] == f'attachment; filename="{KEY}-a.html"'
    assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        f"a route/../{KEY}-outside",
        f"a route/%2e%2e/{KEY}-outside",
        f"a route/day/..%2f..%2f{KEY}-outside",
        f"a route/day/%2e%2e/%2e%2e/{KEY}-outside",
        f"a route//{KEY}-a.html",
        f"a route/%00{KEY}-a.html",
        f"a route/{KEY}-link",
        f"a route/{KEY}-notes",
        f"a route/day/%2e%2e/{KEY}-a.html",
        f"a route/day/..%2f{KEY}-a.html",
        f"a route/folder/{KEY}-outside",
        f"a route/day/{KEY}.json",
        "a route/notes.txt",
        "a route/day",
        f"a route/{KEY}-folder",
        f"a route/{KEY}-missing",
        f"other/{KEY}-a.html",
        f"bucket/{KEY}-a.html",
        "a route/" + "a/" * 3000 + f"{KEY}-a",
        f"a route/{KEY}-" + "x" * 300,
    ],
)
def test_nothing_else_is_served(client: TestClient, root: Path, path: str) -> None:
    (root / f"{KEY}-link").symlink_to(root.parent / f"{KEY}-outside")
    (root / f"{KEY}-notes").symlink_to(root / "notes.txt")
    (root / "folder").symlink_to(root.parent)
    (root / f"{KEY}-folder").mkdir()

    assert client.get(f"/plugins/media/files/{path}").status_code == 404


async def test_the_routes_of_the_router_are_shown(root: Path) -> None:
    tasks = NoTasks()
    routes = [
        PluginRoute("one", "media", Options(folder=str(root))),
        PluginRoute("two", "media", Options(folder=str(root / "day"))),
    ]
    await startup(tasks=tasks, routes=routes, logger=None)  # type: ignore[arg-type]
    registered: dict[str, Any] = {}
    register_pages(lambda path, endpoint, **_: registered.update({path: endpoint}))

    assert list(registered) == ["/", "/files/{route}/{path:path}"]
    page = client_of(router_media._pages).get("/plugins/media/").text
    assert [title in page for title in ("<h2>one</h2>", "<h2>two</h2>")] == [True, True]
    assert list(tasks.started[0][0]) == [root, root / "day"]

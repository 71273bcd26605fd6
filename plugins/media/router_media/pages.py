"""Pages for the operator: the latest files, and each file itself."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from router_media.names import is_stored

#: Files of a route that are listed.
_LATEST = 50
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
#: Of a file, should a browser show it all the same. A list with it could not lead to what is saved.
_SANDBOX = {**_HEADERS, "Content-Security-Policy": "default-src 'none'; sandbox"}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Files</title>
<style>body{{font-family:sans-serif;margin:2em}}td,th{{padding:.2em 1em .2em 0;text-align:left}}</style>
<h1>Files</h1>
{routes}
</html>
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A stored file."""

    #: Below the route's folder.
    path: str
    size: int
    at: datetime


class Pages:
    """Shows the files of the routes it is told of.

    Hooks get no routes when pages are registered, so they come later, from `startup`.
    """

    def __init__(self) -> None:
        self._folders: Mapping[str, Path | None] = {}

    def show(self, folders: Mapping[str, Path | None]) -> None:
        """Show these from now on.

        Args:
            folders: Route → its folder; ``None``: its files are in a bucket.
        """
        self._folders = dict(folders)

    def index(self, request: Request) -> Response:
        """List the latest files of each route."""
        parts = [_section(route, folder) for route, folder in self._folders.items()]
        return HTMLResponse(_PAGE.format(routes="\n".join(parts) or "<p>No route.</p>"), headers=_HEADERS)

    def file(self, request: Request) -> Response:
        """Send a file, to be saved and not to be shown.

        Raises:
            HTTPException: There is no such file, or none that was attached to a message.
        """
        folder = self._folders.get(request.path_params["route"])
        path = _stored(folder, request.path_params["path"]) if folder else None
        if path is None:
            raise HTTPException(404)
        return FileResponse(
            path,
            media_type="application/octet-stream",
            filename=path.name,
            content_disposition_type="attachment",
            headers=_SANDBOX,
        )


def latest(root: Path, most: int = _LATEST) -> list[Found]:
    """Return the newest files below a folder, newest first."""
    return heapq.nlargest(most, _all(root), key=lambda found: (found.at, found.path))


def _stored(root: Path, path: str) -> Path | None:
    """Return where a file is; ``None`` if it is not below the folder, or not attached to a message."""
    whole = root / path
    parts = path.split("/")
    if "\0" in path or any(part in {"", ".", ".."} for part in parts) or not is_stored(parts[-1]):
        return None
    try:
        is_regular = stat.S_ISREG(whole.lstat().st_mode)
    except OSError:
        return None
    inside = whole.resolve().is_relative_to(root.resolve())
    return whole if is_regular and inside else None


def _all(root: Path) -> Iterator[Found]:
    for folder, _, names in os.walk(root):
        for name in filter(is_stored, names):
            path = Path(folder, name)
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                at = datetime.fromtimestamp(found.st_mtime, UTC)
                yield Found(path.relative_to(root).as_posix(), found.st_size, at)


def _section(route: str, folder: Path | None) -> str:
    title = f"<h2>{escape(route)}</h2>"
    if folder is None:
        return f"{title}<p>Its files are in a bucket.</p>"
    rows = "\n".join(_row(route, found) for found in latest(folder))
    if not rows:
        return f"{title}<p>No file.</p>"
    return f"{title}<table><tr><th>stored (UTC)<th>bytes<th>file</tr>\n{rows}\n</table>"


def _row(route: str, found: Found) -> str:
    link = f"files/{quote(route, safe='')}/{quote(found.path)}"
    return (
        f"<tr><td>{found.at:%Y-%m-%d %H:%M:%S}<td>{found.size}"
        f'<td><a href="{escape(link)}">{escape(found.path)}</a></tr>'
    )

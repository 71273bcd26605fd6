"""Downloads the files that are attached to messages, to a folder or to an S3-compatible store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from router import PluginRoute, PluginTasks, RegisterHandler, RegisterPage, hookimpl
from router_media.media import Media
from router_media.options import S3, Options
from router_media.pages import Pages
from router_media.retention import tidy_for_ever

__all__ = ["S3", "Media", "Options"]

_pages = Pages()


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer ``media``."""
    register("media", Media, options=Options)


@hookimpl
def register_pages(register: RegisterPage) -> None:
    """Offer the list of files, and each file."""
    register("/", _pages.index)
    register("/files/{route}/{path:path}", _pages.file)


@hookimpl
async def startup(
    tasks: PluginTasks, routes: Sequence[PluginRoute], logger: structlog.typing.FilteringBoundLogger
) -> None:
    """Show the routes' files, and remove those that are older than ``keep``."""
    options = {route.name: route.options for route in routes if isinstance(route.options, Options)}
    _pages.show({name: Path(each.folder) if each.folder else None for name, each in options.items()})
    if folders := _kept(options.values()):
        tasks.start_soon(tidy_for_ever, folders, logger)


@hookimpl
async def shutdown() -> None:
    """Show no files any more."""
    _pages.show({})


def _kept(options: Iterable[Options]) -> dict[Path, float | None]:
    """Return for each folder how long its files are kept: of several routes the longest counts."""
    kept: dict[Path, float | None] = {}
    for each in options:
        if each.folder:
            folder = Path(each.folder)
            longest = each.keep if folder not in kept else _longest(kept[folder], each.keep)
            kept[folder] = longest
    return kept


def _longest(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)

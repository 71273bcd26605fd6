"""The task that removes old files, and parts that a crash left behind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from anyio import sleep, to_thread

from router import now
from router_media.names import is_own
from router_media.parts import is_part

#: Seconds between two looks.
_EVERY = 3600.0
#: Seconds after which nobody writes to a part any more.
_DEAD_PART = 86400.0

Logger = structlog.typing.FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed from a folder."""

    files: int
    parts: int


async def tidy_for_ever(folders: Mapping[Path, float | None], logger: Logger) -> None:
    """Tidy folders, now and again and again.

    Args:
        folders: Folder → seconds that files are kept; ``None``: for ever.
        logger: Told of each folder from which something was removed, or which cannot be read.
    """
    while True:
        for folder, keep in folders.items():
            try:
                removed = await to_thread.run_sync(tidy, folder, keep)
            except OSError as exc:
                logger.warning("media.tidy_failed", folder=str(folder), error=str(exc))
            else:
                if removed.files or removed.parts:
                    logger.info("media.removed", folder=str(folder), files=removed.files, parts=removed.parts)
        await sleep(_EVERY)


def tidy(root: Path, keep: float | None) -> Removed:
    """Remove what is older than ``keep`` seconds, and folders that are empty then.

    Only files with names as this plugin gives them are removed.

    Raises:
        OSError: A file cannot be removed.
    """
    at = now().timestamp()
    parts = [path for path in _files([root]) if is_part(path.name) and _age(path, at) > _DEAD_PART]
    files = [] if keep is None else [path for path in _own(root) if _age(path, at) > keep]
    for path in (*parts, *files):
        path.unlink(missing_ok=True)
    for folder in sorted({path.parent for path in files} - {root}, reverse=True):
        _remove_empty(folder, root)
    return Removed(len(files), len(parts))


def _own(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names if is_own(name))


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from folder.iterdir()


def _age(path: Path, at: float) -> float:
    try:
        return at - path.lstat().st_mtime
    except FileNotFoundError:  # put in place, or removed by somebody else
        return 0


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it while they are empty."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # it is not empty, or somebody else was faster
            return
        folder = folder.parent

"""Keeps every event: in a file of its day, or in a SQL table; on disk before the delivery is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import structlog

from router import PluginRoute, PluginTasks, RegisterCommand, RegisterHandler, hookimpl
from router_archive import commands
from router_archive.conversion import convert_for_ever
from router_archive.files import Options, archive
from router_archive.sql import SqlArchive, SqlOptions

__all__ = ["Options", "SqlArchive", "SqlOptions", "archive"]


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer ``archive`` and ``archive.sql``."""
    register("archive", archive, options=Options)
    register("archive.sql", SqlArchive, options=SqlOptions)


@hookimpl
def register_commands(register: RegisterCommand) -> None:
    """Offer ``router archive check`` and ``router archive parquet``."""
    register("check", commands.check)
    register("parquet", commands.parquet)


@hookimpl
async def startup(
    tasks: PluginTasks, routes: Sequence[PluginRoute], logger: structlog.typing.FilteringBoundLogger
) -> None:
    """Turn days that are over into Parquet, where a route asks for it."""
    options = [route.options for route in routes if isinstance(route.options, Options)]
    if folders := {Path(each.folder) for each in options if each.format == "parquet"}:
        tasks.start_soon(convert_for_ever, sorted(folders), logger)

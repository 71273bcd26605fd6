"""``router plugins``: what is installed, what it offers, and what is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

from router.cli.options import ConfigOption, JsonOption
from router.cli.output import show_json, show_rows
from router.config import Document, read
from router.errors import ConfigError
from router.events import JsonObject
from router.plugins import Plugin, load_all


def plugins(config: ConfigOption = Path(), as_json: JsonOption = False) -> None:
    """List the plugins that can be found, their handlers, and whether routes.yaml uses them."""
    document = _document(config)
    found = load_all(document.plugins_dir if document else None)
    used = document.handler_names if document else frozenset[str]()
    rows = [_plugin(plugin, used) for plugin in found.active]
    rows += [
        {
            "name": problem.plugin,
            "version": None,
            "origin": problem.origin,
            "handlers": [],
            "used": False,
            "problem": problem.message,
        }
        for problem in found.problems
    ]
    if as_json:
        show_json(rows)
    else:
        show_rows(
            rows, ["name", "version", "origin", "handlers", "used", "problem"], "no plugin is installed"
        )


def _document(config: Path) -> Document | None:
    """Read the configuration if it can be read: plugins can be listed without."""
    try:
        return read(config, os.environ)
    except ConfigError:
        return None


def _plugin(plugin: Plugin, used: frozenset[str]) -> JsonObject:
    return {
        "name": plugin.name,
        "version": plugin.version,
        "origin": plugin.origin,
        "handlers": sorted(plugin.handlers),
        "used": not used.isdisjoint(plugin.handlers),
        "problem": None,
    }

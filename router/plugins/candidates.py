"""Where plugins are found: entry points of installed distributions, and files of ``plugins_dir``."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Protocol

from router.errors import PluginError

#: Entry-point group in which packages list their plugins.
GROUP = "router.plugins"


class Candidate(Protocol):
    """A plugin that may be loaded."""

    name: str
    version: str | None
    origin: str

    def import_module(self) -> object:
        """Return the object that carries the hook implementations."""


class _Installed:
    """An entry point of an installed distribution."""

    def __init__(self, entry_point: EntryPoint) -> None:
        self._entry_point = entry_point
        self.name = entry_point.name
        self.version = entry_point.dist.version if entry_point.dist else None
        self.origin = entry_point.dist.name if entry_point.dist else entry_point.value

    def import_module(self) -> object:
        return self._entry_point.load()


class _File:
    """One Python file of ``plugins_dir``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.stem
        self.version: str | None = None
        self.origin = str(path)

    def import_module(self) -> ModuleType:
        name = f"router_plugins_dir.{self.name}"
        spec = importlib.util.spec_from_file_location(name, self._path)
        assert spec is not None, "a .py file has a loader"
        assert spec.loader is not None, "a .py file has a loader"
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module


class _Given:
    """A plugin that whoever loads it has at hand: a module, a class or an object."""

    def __init__(self, plugin: object) -> None:
        self._plugin = plugin
        self.name = str(getattr(plugin, "__name__", type(plugin).__name__))
        self.version: str | None = None
        self.origin = str(getattr(plugin, "__file__", None) or getattr(plugin, "__module__", "given"))

    def import_module(self) -> object:
        return self._plugin() if isinstance(self._plugin, type) else self._plugin


def given(plugin: object) -> Candidate:
    """Return the candidate for a plugin that is at hand, or for the installed one of a name.

    Raises:
        PluginError: No plugin of that name is installed.
    """
    if not isinstance(plugin, str):
        return _Given(plugin)
    by_name = {candidate.name: candidate for candidate in installed()}
    if plugin not in by_name:
        known = f"installed plugins are {', '.join(by_name)}" if by_name else "no plugin is installed"
        raise PluginError(plugin, plugin, f"is not installed; {known}")
    return by_name[plugin]


def installed() -> list[Candidate]:
    """Return the plugins of installed distributions, by name."""
    return [_Installed(found) for found in sorted(entry_points(group=GROUP), key=lambda found: found.name)]


def files(plugins_dir: Path | None) -> list[Candidate]:
    """Return the plugins of a folder, by name.

    Raises:
        PluginError: There is no such folder.
    """
    if plugins_dir is None:
        return []
    if not plugins_dir.is_dir():
        raise PluginError("plugins_dir", str(plugins_dir), "there is no such folder")
    return [_File(path) for path in sorted(plugins_dir.glob("*.py")) if not path.name.startswith("_")]

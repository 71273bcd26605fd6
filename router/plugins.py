"""Finding plugins, and the handlers they offer. With `router.hookspecs` the only importer of pluggy.

Installed is not active: a plugin is loaded when ``routes.yaml`` names one of its handlers. An
installed plugin is looked for by the name of its entry point first; only if that leaves a handler
unknown are the others imported to see what they offer. Files in ``plugins_dir`` are always loaded:
naming the folder names them.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pluggy
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from router import hookspecs
from router.errors import PluginError
from router.events import JsonObject
from router.hookspecs import Handler

#: Entry-point group in which packages list their plugins.
GROUP = "router.plugins"


@dataclass(frozen=True, slots=True)
class RegisteredHandler:
    """A handler that a plugin offers."""

    name: str
    call: Handler
    #: It is ``async def``; otherwise it runs in a thread.
    is_async: bool
    #: JSON Schema of its options; ``None``: any.
    options: JsonObject | None
    plugin: Plugin


@dataclass(frozen=True, slots=True, eq=False)
class Plugin:
    """A plugin that was found."""

    name: str
    #: Version of its distribution; ``None`` for a file of ``plugins_dir``.
    version: str | None
    #: Where it comes from: a distribution, or a file.
    origin: str
    handlers: dict[str, RegisteredHandler] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else f"{self.name} ({self.origin})"


@dataclass(frozen=True, slots=True)
class Plugins:
    """What came of looking for handlers."""

    #: Plugins that offer a handler that was asked for, and those of ``plugins_dir``.
    active: list[Plugin]
    #: By name: every handler of every plugin that was looked at.
    handlers: dict[str, RegisteredHandler]
    #: What is wrong with plugins that matter: each names its plugin.
    problems: list[PluginError]


def load(wanted: Iterable[str], plugins_dir: Path | None = None) -> Plugins:
    """Load the plugins that offer the wanted handlers.

    Args:
        wanted: Names of handlers, as ``routes.yaml`` has them.
        plugins_dir: Folder of one-file plugins, all of which are loaded.
    """
    search = _Search(set(wanted))
    for candidate in _files(plugins_dir, search.problems):
        search.load(candidate, is_wanted=True)
    installed = _installed()
    for candidate in [c for c in installed if c.name in search.likely_plugins()]:
        search.load(candidate, is_wanted=True)
        installed.remove(candidate)
    if search.missing():
        for candidate in installed:
            search.load(candidate, is_wanted=False)
    return search.result()


def load_all(plugins_dir: Path | None = None) -> Plugins:
    """Load every plugin that can be found, to list them."""
    search = _Search(set())
    for candidate in [*_files(plugins_dir, search.problems), *_installed()]:
        search.load(candidate, is_wanted=True)
    return search.result()


class _Candidate(Protocol):
    """A plugin that may be loaded."""

    name: str
    version: str | None
    origin: str

    def import_module(self) -> object:
        """Return the object that carries the hook implementations."""


class _Search:
    """Loads candidates one after the other, and keeps what is of use."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._active: list[Plugin] = []
        self._handlers: dict[str, RegisteredHandler] = {}
        self._failed: list[PluginError] = []
        self.problems: list[PluginError] = []

    def likely_plugins(self) -> set[str]:
        """Return the names of plugins that, by their name, offer a wanted handler."""
        return self.missing() | {name.partition(".")[0] for name in self.missing()}

    def missing(self) -> set[str]:
        """Return the wanted handlers that no plugin offers so far."""
        return self._wanted - self._handlers.keys()

    def load(self, candidate: _Candidate, *, is_wanted: bool) -> None:
        """Import a candidate; keep it if it is wanted itself or offers a wanted handler."""
        try:
            plugin = _load(candidate)
        except PluginError as exc:
            (self.problems if is_wanted else self._failed).append(exc)
            return
        if is_wanted or not self._wanted.isdisjoint(plugin.handlers):
            self._active.append(plugin)
        for handler in plugin.handlers.values():
            self._keep(handler)

    def result(self) -> Plugins:
        """Return what was found; what failed is of interest only if a handler is still missing."""
        if self.missing():
            self.problems += self._failed
        return Plugins(self._active, self._handlers, self.problems)

    def _keep(self, handler: RegisteredHandler) -> None:
        other = self._handlers.setdefault(handler.name, handler)
        plugin = handler.plugin
        if other is not handler and plugin in self._active and other.plugin in self._active:
            message = (
                f"offers handler {handler.name!r}, which plugin {other.plugin.name!r} "
                f"({other.plugin.origin}) offers too: remove one of the two"
            )
            self.problems.append(PluginError(plugin.name, plugin.origin, message))


# Where plugins are found


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


def _installed() -> list[_Candidate]:
    return [_Installed(found) for found in sorted(entry_points(group=GROUP), key=lambda found: found.name)]


def _files(plugins_dir: Path | None, problems: list[PluginError]) -> list[_Candidate]:
    if plugins_dir is None:
        return []
    if not plugins_dir.is_dir():
        problems.append(PluginError("plugins_dir", str(plugins_dir), "there is no such folder"))
        return []
    return [_File(path) for path in sorted(plugins_dir.glob("*.py")) if not path.name.startswith("_")]


# Loading one


def _load(candidate: _Candidate) -> Plugin:
    """Import one plugin and ask it for its handlers.

    Raises:
        PluginError: It cannot be imported, or implements a hook that does not exist or not as it is,
            or registers something that is no handler.
    """

    def refuse(message: str) -> PluginError:
        return PluginError(candidate.name, candidate.origin, message)

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(candidate.import_module(), candidate.name)
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        raise refuse(_about_hooks(exc, manager)) from exc
    except (Exception, SystemExit) as exc:
        raise refuse(f"cannot be imported: {_told(exc)}") from exc
    plugin = Plugin(candidate.name, candidate.version, candidate.origin)
    try:
        results = manager.hook.register_handlers(register=_registrar(plugin))
    except PluginError:
        raise
    except (Exception, SystemExit) as exc:
        raise refuse(f"its hook register_handlers failed: {_told(exc)}") from exc
    for coroutine in filter(inspect.iscoroutine, results):
        coroutine.close()
        raise refuse("its hook register_handlers is async def: hooks are called, not awaited")
    return plugin


def _registrar(plugin: Plugin) -> Callable[..., None]:
    def refuse(message: str) -> PluginError:
        return PluginError(plugin.name, plugin.origin, message)

    def register(name: str, handler: Handler, *, options: JsonObject | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise refuse(f"registers a handler named {name!r}: a name is a text that is not empty")
        if not callable(handler):
            raise refuse(f"registers {name!r} with {handler!r}, which cannot be called")
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise refuse(
                f"registers {name!r} with a generator, which does nothing when called: it has a yield"
            )
        if problem := _misfit(handler):
            raise refuse(f"registers {name!r} with a handler that {problem}")
        if name in plugin.handlers:
            raise refuse(f"registers handler {name!r} twice")
        if options is not None:
            try:
                Draft202012Validator.check_schema(options)
            except SchemaError as exc:
                where = exc.json_path.replace("$", "options", 1)
                raise refuse(
                    f"the options schema of {name!r} is no JSON Schema: {where}: {exc.message}"
                ) from exc
        plugin.handlers[name] = RegisteredHandler(name, handler, _is_async(handler), options, plugin)

    return register


def _misfit(handler: Handler) -> str | None:
    """Say what a handler takes if it is not an event and a context."""
    try:
        # What a decorator wraps may take other arguments than what is called.
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):  # of some builtins nothing is known
        return None
    try:
        signature.bind("event", "context")
    except TypeError as exc:
        takes = signature.replace(return_annotation=signature.empty)
        return " ".join(f"takes {takes} and not (event, context): {exc}".split())
    return None


def _is_async(handler: Handler) -> bool:
    while isinstance(handler, partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - whether its __call__ is async, not whether it has one
    )


def _about_hooks(exc: pluggy.PluginValidationError, manager: pluggy.PluginManager) -> str:
    """Return pluggy's message about a hook in our words, with a suggestion for a misspelt name."""
    unknown = re.search(r"unknown hook '(\w+)'", str(exc))
    if unknown is None:
        return " ".join(str(exc).split())
    known = [
        name for name, value in vars(hookspecs).items() if getattr(value, f"{hookspecs.PROJECT}_spec", None)
    ]
    near = get_close_matches(unknown[1], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"hooks are {', '.join(known)}"
    return f"implements an unknown hook {unknown[1]!r}; {hint}"


def _told(exc: BaseException) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


def option_schemas(handlers: Mapping[str, RegisteredHandler]) -> dict[str, JsonObject | None]:
    """Return the schema of each handler's options, as the configuration is checked against it."""
    return {name: handler.options for name, handler in handlers.items()}

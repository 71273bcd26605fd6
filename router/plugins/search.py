"""Finding the plugins that offer what ``routes.yaml`` names.

Installed is not active: a plugin is loaded when ``routes.yaml`` names it, one of its handlers or one of
its alert channels. An installed plugin is looked for by the name of its entry point first; only if that
leaves something unknown are the others imported to see what they offer. Files in ``plugins_dir`` are
always loaded: naming the folder names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from router.errors import NotFound, PluginError
from router.plugins.candidates import Candidate, files, given, installed
from router.plugins.loading import activate, load_one
from router.plugins.plugin import Plugin, RegisteredChannel, RegisteredHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What ``routes.yaml`` names."""

    handlers: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    plugins: frozenset[str] = frozenset()

    def likely_plugins(self) -> set[str]:
        """Return the names of plugins that are wanted, or by their names offer something that is."""
        offered = self.handlers | self.channels
        return {*self.plugins, *offered, *(name.partition(".")[0] for name in offered)}


@dataclass(frozen=True, slots=True)
class Plugins:
    """What came of looking for plugins."""

    #: Plugins that are named, or offer something that is, and those of ``plugins_dir``.
    active: list[Plugin] = field(default_factory=list)
    #: By name: every handler of every plugin that was looked at.
    handlers: dict[str, RegisteredHandler] = field(default_factory=dict)
    #: By name: every alert channel of every plugin that was looked at.
    channels: dict[str, RegisteredChannel] = field(default_factory=dict)
    #: Names of all plugins that there are.
    names: frozenset[str] = frozenset()
    #: What is wrong with plugins that matter: each names its plugin.
    problems: list[PluginError] = field(default_factory=list)


def load(wanted: Wanted, plugins_dir: Path | None = None, at_hand: Iterable[object] = ()) -> Plugins:
    """Load the plugins that are named, or offer what is wanted.

    Args:
        wanted: What ``routes.yaml`` names.
        plugins_dir: Folder of one-file plugins, all of which are loaded.
        at_hand: Modules, classes or objects that are plugins, and names of installed ones; all are loaded.
    """
    search = _Search(wanted)
    candidates = [*search.given(at_hand), *search.files(plugins_dir)]
    for candidate in candidates:
        search.load(candidate, is_wanted=True)
    others = [candidate for candidate in installed() if candidate.name not in {c.name for c in candidates}]
    for candidate in [c for c in others if c.name in search.missing().likely_plugins()]:
        search.load(candidate, is_wanted=True)
        others.remove(candidate)
    if search.misses_something():
        for candidate in others:
            search.load(candidate, is_wanted=False)
    return search.result()


def load_all(plugins_dir: Path | None = None) -> Plugins:
    """Load every plugin that can be found, to list them."""
    search = _Search(Wanted())
    for candidate in [*search.files(plugins_dir), *installed()]:
        search.load(candidate, is_wanted=True)
    return search.result()


def load_named(name: str, plugins_dir: Path | None = None) -> Plugin:
    """Load the plugin of that name and no other.

    Raises:
        NotFound: There is no such plugin.
        PluginError: It cannot be loaded.
    """
    for candidate in [*files(plugins_dir), *installed()]:
        if candidate.name == name:
            return load_one(candidate)
    raise NotFound(f"no plugin is named {name!r}: see 'router plugins'")


class _Search:
    """Loads candidates one after the other, and keeps what is of use."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._active: list[Plugin] = []
        self._names: set[str] = {candidate.name for candidate in installed()}
        self._handlers: dict[str, RegisteredHandler] = {}
        self._channels: dict[str, RegisteredChannel] = {}
        self._failed: list[PluginError] = []
        self._problems: list[PluginError] = []

    def given(self, plugins: Iterable[object]) -> Iterator[Candidate]:
        """Yield the candidates for plugins that are at hand, or named."""
        for plugin in plugins:
            try:
                yield given(plugin)
            except PluginError as exc:
                self._problems.append(exc)

    def files(self, plugins_dir: Path | None) -> list[Candidate]:
        """Return the candidates of ``plugins_dir``."""
        try:
            found = files(plugins_dir)
        except PluginError as exc:
            self._problems.append(exc)
            return []
        self._names |= {candidate.name for candidate in found}
        return found

    def missing(self) -> Wanted:
        """Return what is wanted and was not found so far."""
        return Wanted(
            handlers=self._wanted.handlers - self._handlers.keys(),
            channels=self._wanted.channels - self._channels.keys(),
            plugins=self._wanted.plugins - {plugin.name for plugin in self._active},
        )

    def misses_something(self) -> bool:
        """Tell whether what is missing may be in a plugin that was not looked at."""
        missing = self.missing()
        return bool(missing.handlers or missing.channels)

    def load(self, candidate: Candidate, *, is_wanted: bool) -> None:
        """Import a candidate; keep it if it is wanted itself or offers something that is."""
        try:
            plugin = load_one(candidate)
            if is_active := is_wanted or self._offers_something(plugin):
                activate(plugin)
        except PluginError as exc:
            (self._problems if is_wanted else self._failed).append(exc)
            return
        if is_active:
            self._active.append(plugin)
        for handler in plugin.handlers.values():
            self._keep("handler", handler, self._handlers.setdefault(handler.name, handler))
        for channel in plugin.channels.values():
            self._keep("alert channel", channel, self._channels.setdefault(channel.name, channel))

    def result(self) -> Plugins:
        """Return what was found; what failed is of interest only if something is still missing."""
        if self.misses_something():
            self._problems += self._failed
        names = frozenset(self._names)
        return Plugins(self._active, self._handlers, self._channels, names, self._problems)

    def _offers_something(self, plugin: Plugin) -> bool:
        wanted = self._wanted
        return not (
            wanted.handlers.isdisjoint(plugin.handlers) and wanted.channels.isdisjoint(plugin.channels)
        )

    def _keep(
        self,
        what: str,
        offered: RegisteredHandler | RegisteredChannel,
        other: RegisteredHandler | RegisteredChannel,
    ) -> None:
        plugin = offered.plugin
        if other is not offered and plugin in self._active and other.plugin in self._active:
            message = (
                f"offers {what} {offered.name!r}, which plugin {other.plugin.name!r} "
                f"({other.plugin.origin}) offers too: remove one of the two"
            )
            self._problems.append(PluginError(plugin.name, plugin.origin, message))

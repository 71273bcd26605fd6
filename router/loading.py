"""``routes.yaml`` and the plugins that it names: all that can be wrong before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router import plugins
from router.config import Config, Document, read
from router.errors import ConfigError, ConfigProblem, PluginError
from router.plugins import Plugin, Plugins, Wanted


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration without problems, and the plugins it names."""

    config: Config
    plugins: Plugins
    #: What is missing that is not required.
    failed: Sequence[PluginError] = ()

    @property
    def held(self) -> frozenset[str]:
        """The routes whose handlers are missing: their deliveries wait."""
        handlers = self.plugins.handlers
        return frozenset(route.name for route in self.config.routes if route.handler not in handlers)

    def is_optional(self, plugin: Plugin, route: str | None = None) -> bool:
        """Tell whether the router can do without a plugin, or without its handler of one route."""
        optional = self.config.optional_routes
        named = {settings.name: settings.required for settings in self.config.plugins}
        if route in optional or plugin.name in named:
            return route in optional or not named[plugin.name]
        using = [route.name in optional for route in self.config.routes if route.handler in plugin.handlers]
        using += [not alert.required for alert in self.config.alerts if alert.handler in plugin.channels]
        return bool(using) and all(using)


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Read ``routes.yaml`` and load the plugins it names.

    Raises:
        ConfigError: With every problem of the file and of the plugins.
    """
    return complete(read(path, environ))


def complete(document: Document, at_hand: Iterable[object] = ()) -> Loaded:
    """Load the plugins that a document names.

    Args:
        document: A ``routes.yaml`` that was read.
        at_hand: Plugins that need not be looked for, and names of installed ones, all to be loaded.

    Raises:
        ConfigError: With every problem of the document and of the plugins.
    """
    found = plugins.load(wanted(document), document.plugins_dir, at_hand)
    document.check_handlers({name: handler.options for name, handler in found.handlers.items()})
    document.check_channels({name: channel.options for name, channel in found.channels.items()})
    document.check_plugins(found.names)
    tolerated = [exc for exc in found.problems if _is_tolerated(exc, document, found)]
    faulty = [
        ConfigProblem(exc.origin, 0, 0, f"plugin {exc.plugin!r}: {exc.message}")
        for exc in found.problems
        if exc not in tolerated
    ]
    try:
        config = document.config()
    except ConfigError as exc:
        raise ConfigError([*exc.problems, *faulty]) from None
    if faulty:
        raise ConfigError(faulty)
    return Loaded(config, found, [*tolerated, *_absent(document, found, tolerated)])


def wanted(document: Document) -> Wanted:
    """Return what the file names."""
    return Wanted(
        handlers=document.handler_names,
        channels=document.channel_names,
        plugins=document.plugin_names,
    )


def _is_tolerated(exc: PluginError, document: Document, found: Plugins) -> bool:
    """Tell whether the router can do without a plugin that failed.

    What it would have offered is not known: it can if nothing is missing that is required, and
    something is that is not.
    """
    if exc.plugin in document.plugin_names:
        return exc.plugin in document.optional_plugins
    something = (
        document.handler_names - found.handlers.keys() or document.channel_names - found.channels.keys()
    )
    return bool(something) and not document.is_missing(found.handlers, found.channels)


def _absent(document: Document, found: Plugins, failed: Sequence[PluginError]) -> list[PluginError]:
    """Return what nothing that is installed offers, where no plugin failed that might have."""
    absent = [(name, "no plugin has this name") for name in sorted(document.plugin_names - found.names)]
    if not failed:
        handlers = sorted(document.handler_names - found.handlers.keys())
        channels = sorted(document.channel_names - found.channels.keys())
        absent += [(name, f"no plugin offers handler {name!r}") for name in handlers]
        absent += [(name, f"no plugin offers alert channel {name!r}") for name in channels]
    return [PluginError(name, "not installed", message) for name, message in absent]

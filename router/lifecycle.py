"""Starting and stopping what plugins hold and run beside their handlers. None can hinder another."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import structlog
from anyio import (
    CancelScope,
    create_task_group,
    current_effective_deadline,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.abc import TaskGroup

from router.alerts import Alerts
from router.containment import current_plugin
from router.errors import PluginError
from router.events import AlertKind
from router.handlers import RouteHandler
from router.hookspecs import PluginRoute, plugin_logger
from router.plugins import Plugin
from router.plugins.loading import told, told_if_slow

#: Seconds that one plugin or handler gets to start, and all together to stop.
_START = 30.0
_STOP = 4.0

_log = structlog.get_logger("router.plugins")


@dataclass(frozen=True, slots=True)
class _Stop:
    """How something of a plugin stops."""

    plugin: Plugin
    what: str
    call: Callable[[], Awaitable[None]]


class Lifecycle:
    """All that starts before the first delivery and stops after the last.

    Args:
        plugins: Those in use.
        handlers: Of the routes whose handlers are there.
        is_optional: Tells whether the router can do without a plugin, or without its handler of a route.
        hold: Told of each route whose handler did not start.
        alerts: Told of each plugin that failed.
    """

    def __init__(
        self,
        plugins: Sequence[Plugin],
        handlers: Sequence[RouteHandler],
        *,
        is_optional: Callable[[Plugin, str | None], bool],
        hold: Callable[[str], None],
        alerts: Alerts,
    ) -> None:
        self._plugins = plugins
        self._handlers = handlers
        self._is_optional = is_optional
        self._hold = hold
        self._alerts = alerts
        self._tasks: list[_Tasks] = []
        #: What has started, and so has to stop.
        self._started_plugins: list[_Stop] = []
        self._started_handlers: list[_Stop] = []

    async def start(self, tasks: TaskGroup, http: Any) -> None:
        """Start plugins, then handlers, in the order of the file.

        Args:
            tasks: Owns what the plugins run.
            http: The HTTP client that all handlers share.

        Raises:
            PluginError: Something required did not start; what had started was stopped.
        """
        try:
            for plugin in self._plugins:
                await self._start_plugin(plugin, tasks, http)
            for handler in self._handlers:
                await self._start_handler(handler, http)
        except PluginError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop handlers, then plugins, then their tasks; each has a few seconds."""
        for stops in (self._started_handlers, self._started_plugins):
            with move_on_after(_STOP, shield=True):
                async with create_task_group() as group:
                    for stop in stops:
                        group.start_soon(_stop, stop)
            stops.clear()
        for tasks in self._tasks:
            tasks.cancel()

    async def _start_plugin(self, plugin: Plugin, tasks: TaskGroup, http: Any) -> None:
        own = _Tasks(plugin, tasks, self._alerts)
        self._tasks.append(own)
        arguments = {
            "tasks": own,
            "routes": self._routes_of(plugin),
            "http": http,
            "logger": plugin_logger(plugin.name),
        }
        error = await _attempt(plugin, "its hook startup", lambda: _call(plugin, "startup", arguments))
        if error is None:
            stop = partial(_call, plugin, "shutdown", {"logger": plugin_logger(plugin.name)})
            self._started_plugins.append(_Stop(plugin, "its hook shutdown", stop))
        else:
            own.cancel()
            self._failed(plugin, None, error, [route.name for route in self._routes_of(plugin)])

    async def _start_handler(self, handler: RouteHandler, http: Any) -> None:
        plugin, route = handler.registered.plugin, handler.route.name
        what = f"the start of its handler {handler.registered.name!r} for route {route!r}"
        error = await _attempt(plugin, what, lambda: handler.start(http))
        if error is None:
            stop = _Stop(plugin, f"the stop of its handler for route {route!r}", handler.stop)
            self._started_handlers.append(stop)
        else:
            self._failed(plugin, route, error, [route])

    def _routes_of(self, plugin: Plugin) -> list[PluginRoute]:
        return [
            PluginRoute(handler.route.name, handler.registered.name, handler.options)
            for handler in self._handlers
            if handler.registered.plugin is plugin
        ]

    def _failed(self, plugin: Plugin, route: str | None, error: PluginError, routes: Iterable[str]) -> None:
        if not self._is_optional(plugin, route):
            raise error
        self._handlers = [handler for handler in self._handlers if handler.route.name not in routes]
        for name in routes:
            self._hold(name)
        tell_failed(self._alerts, error, routes)


def tell_failed(alerts: Alerts, error: PluginError, routes: Iterable[str]) -> None:
    """Tell the operator that the router runs without a plugin, and which routes wait for it."""
    facts = {"plugin": error.plugin, "origin": error.origin, "error": error.message, "held": list(routes)}
    _log.error("plugin.failed", **facts)
    alerts.report(AlertKind.PLUGIN_FAILED, error.plugin, **facts)


class _Tasks:
    """A plugin's `PluginTasks`."""

    def __init__(self, plugin: Plugin, tasks: TaskGroup, alerts: Alerts) -> None:
        self._plugin = plugin
        self._tasks = tasks
        self._alerts = alerts
        self._scopes: set[CancelScope] = set()
        self._cancelled = False

    def start_soon(self, func: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See `PluginTasks.start_soon`."""
        self._tasks.start_soon(self._run, func, args)

    def cancel(self) -> None:
        """End them all."""
        self._cancelled = True
        for scope in self._scopes:
            scope.cancel()

    async def _run(self, func: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        current_plugin.set(self._plugin.name)
        with CancelScope() as scope:
            self._scopes.add(scope)
            if self._cancelled:
                scope.cancel()
            try:
                await func(*args)
            except get_cancelled_exc_class():
                raise
            except BaseException as exc:  # whatever it is, it is this plugin's and nobody else's
                name = getattr(func, "__qualname__", repr(func))
                error = PluginError(
                    self._plugin.name, self._plugin.origin, f"its task {name} failed: {told(exc)}"
                )
                tell_failed(self._alerts, error, [])
        self._scopes.discard(scope)


async def _stop(stop: _Stop) -> None:
    if error := await _attempt(stop.plugin, stop.what, stop.call):
        _log.error("plugin.failed", plugin=error.plugin, origin=error.origin, error=error.message)


async def _attempt(plugin: Plugin, what: str, call: Callable[[], Awaitable[None]]) -> PluginError | None:
    """Call something of a plugin; return what is wrong, if it raises or does not end."""
    token = current_plugin.set(plugin.name)
    with told_if_slow(plugin.name, plugin.origin, what), move_on_after(_START) as scope:
        try:
            await call()
        except BaseException as exc:  # whatever it is, it is this plugin's and nobody else's
            if current_effective_deadline() == -inf:  # cut off, by the scope or from outside
                raise
            return PluginError(plugin.name, plugin.origin, f"{what} failed: {told(exc)}")
        finally:
            current_plugin.reset(token)
    if scope.cancelled_caught:
        return PluginError(plugin.name, plugin.origin, f"{what} did not end within {_START:g} s")
    return None


async def _call(plugin: Plugin, hook: str, arguments: dict[str, Any]) -> None:
    for result in getattr(plugin.manager.hook, hook)(**arguments):
        if inspect.isawaitable(result):
            await result

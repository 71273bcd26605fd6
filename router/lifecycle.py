"""Starting and stopping what plugins hold and run beside their handlers. None can hinder another."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from anyio import CancelScope, create_task_group

from router.alerts import Alerts
from router.containment import begin_task
from router.errors import PluginError
from router.events import AlertKind
from router.handlers import RouteHandler
from router.hookspecs import PluginRoute, plugin_logger
from router.plugins import Plugin
from router.plugins.loading import SLOW, told, told_if_slow

#: Seconds that each plugin or handler gets to start.
_START = 30.0
#: Seconds in which all handlers stop, at once; then all plugins.
_STOP = 4.0
#: Seconds that a plugin's tasks get to end when they are cancelled.
_END = 1.0

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
        start_within: Seconds that each has to start.
        stop_within: Seconds that each has to stop.
    """

    def __init__(
        self,
        plugins: Sequence[Plugin],
        handlers: Sequence[RouteHandler],
        *,
        is_optional: Callable[[Plugin, str | None], bool],
        hold: Callable[[str], None],
        alerts: Alerts,
        start_within: float = _START,
        stop_within: float = _STOP,
    ) -> None:
        self._plugins = plugins
        self._handlers = handlers
        self._is_optional = is_optional
        self._hold = hold
        self._alerts = alerts
        self._start_within = start_within
        self._stop_within = stop_within
        self._tasks: list[_Tasks] = []
        #: What has started, and so has to stop.
        self._started_plugins: list[_Stop] = []
        self._started_handlers: list[_Stop] = []

    async def start(self, http: Any) -> None:
        """Start plugins, then handlers, in the order of the file.

        Args:
            http: The HTTP client that all handlers share.

        Raises:
            PluginError: Something required did not start; what had started was stopped.
        """
        try:
            for plugin in self._plugins:
                await self._start_plugin(plugin, http)
            for handler in self._handlers:
                await self._start_handler(handler, http)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop handlers, then plugins, then their tasks; each has a few seconds."""
        with CancelScope(shield=True):
            for stops in (self._started_handlers, self._started_plugins):
                async with create_task_group() as group:
                    for stop in reversed(stops):
                        group.start_soon(self._stop, stop)
                stops.clear()
            async with create_task_group() as group:
                for tasks in self._tasks:
                    group.start_soon(tasks.end)

    async def _stop(self, stop: _Stop) -> None:
        if error := await _attempt(stop.plugin, stop.what, stop.call, self._stop_within):
            _log.error("plugin.failed", plugin=error.plugin, origin=error.origin, error=error.message)

    async def _start_plugin(self, plugin: Plugin, http: Any) -> None:
        own = _Tasks(plugin, self._alerts)
        self._tasks.append(own)
        logger = plugin_logger(plugin.name)
        arguments = {"tasks": own, "routes": self._routes_of(plugin), "http": http, "logger": logger}
        start = partial(_call, plugin, "startup", arguments)
        error = await _attempt(plugin, "its hook startup", start, self._start_within)
        if error is None:
            stop = partial(_call, plugin, "shutdown", {"logger": logger})
            self._started_plugins.append(_Stop(plugin, "its hook shutdown", stop))
        else:
            await own.end()
            self._failed(plugin, None, error, [route.name for route in self._routes_of(plugin)])

    async def _start_handler(self, handler: RouteHandler, http: Any) -> None:
        plugin, route = handler.registered.plugin, handler.route.name
        what = f"its handler {handler.registered.name!r} for route {route!r}"
        start = partial(handler.start, http)
        error = await _attempt(plugin, f"the start of {what}", start, self._start_within)
        if error is None:
            self._started_handlers.append(_Stop(plugin, f"the stop of {what}", handler.stop))
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
    """A plugin's `PluginTasks`.

    They are in no task group: one that does not end when it is cancelled is left behind.
    """

    def __init__(self, plugin: Plugin, alerts: Alerts) -> None:
        self._plugin = plugin
        self._alerts = alerts
        self._running: dict[asyncio.Task[None], str] = {}
        self._is_over = False

    def start_soon(self, func: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """See `PluginTasks.start_soon`."""
        name = getattr(func, "__qualname__", repr(func))
        if self._is_over:
            raise RuntimeError(f"the task {name} comes too late: the plugin has stopped")
        task = begin_task(self._plugin.name, self._run(func, args, name))
        self._running[task] = name
        task.add_done_callback(self._running.pop)

    async def end(self) -> None:
        """Cancel them all, and tell of those that go on."""
        self._is_over = True
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_END)
        for name in self._running.values():
            error = f"its task {name} did not end within {_END:g} s after it was cancelled"
            _log.error("plugin.failed", plugin=self._plugin.name, origin=self._plugin.origin, error=error)

    async def _run(self, func: Callable[..., Awaitable[Any]], args: tuple[Any, ...], name: str) -> None:
        try:
            await func(*args)
        except BaseException as exc:  # whatever it is, it is this plugin's and nobody else's
            if self._is_over and isinstance(exc, asyncio.CancelledError):
                return
            message = f"its task {name} failed: {told(exc)}"
            tell_failed(self._alerts, PluginError(self._plugin.name, self._plugin.origin, message), [])


async def _attempt(
    plugin: Plugin, what: str, call: Callable[[], Awaitable[None]], within: float
) -> PluginError | None:
    """Call something of a plugin; return what is wrong, if it raises or does not end.

    The call has a task of its own: whatever it does with that, even not end when it is cancelled.
    """
    task = begin_task(plugin.name, _outcome(call))

    def tell(_: str) -> None:
        _log.warning("plugin.slow", plugin=plugin.name, origin=plugin.origin, doing=what, after=SLOW)

    with told_if_slow(plugin.name, plugin.origin, what, tell):
        try:
            await asyncio.wait([task], timeout=within)
        finally:
            task.cancel()
    if not task.done():
        return PluginError(plugin.name, plugin.origin, f"{what} did not end within {within:g} s")
    exc = asyncio.CancelledError() if task.cancelled() else task.result()
    return PluginError(plugin.name, plugin.origin, f"{what} failed: {told(exc)}") if exc else None


async def _outcome(call: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Return whatever a call raises: it is its plugin's and nobody else's."""
    try:
        await call()
    except BaseException as exc:
        return exc
    return None


async def _call(plugin: Plugin, hook: str, arguments: dict[str, Any]) -> None:
    for result in getattr(plugin.manager.hook, hook)(**arguments):
        if inspect.isawaitable(result):
            await result

"""The handler of one route: made, started, called with the arguments it asks for, stopped."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from operator import getitem
from typing import Any

from router.context import Context
from router.events import Event
from router.hookspecs import plugin_logger
from router.plugins import RegisteredHandler
from router.routing import Route
from router.threads import Threads


class RouteHandler:
    """What a route calls.

    Args:
        route: The route.
        registered: The handler it names.
    """

    def __init__(self, route: Route, registered: RegisteredHandler) -> None:
        self.route = route
        self.registered = registered
        #: As the handler gets them.
        self.options = registered.options.make(route.options)
        #: The object, where the handler is a class.
        self._made: Any = None
        #: Where its ``start`` and ``stop`` run, if they are ``def``.
        self._threads = Threads(f"start-{route.name}", 1)
        self._call: Callable[[Context], Any] = _not_started
        if registered.made_with is None:
            self._call = registered.arguments.bind(registered.call, _of)

    @property
    def call(self) -> Callable[[Event, Context], Any]:
        """What is called with an event and a context; the handler itself where that is what it asks for."""
        arguments = self.registered.arguments
        if self.registered.made_with is None and arguments.by_position and arguments.names == _THE_TWO:
            return self.registered.call

        def call(_event: Event, context: Context) -> Any:
            return self._call(context)

        call.__module__ = self.registered.call.__module__  # by which the watchdog knows whose code blocks
        return call

    async def start(self, http: Any) -> None:
        """Make the object, where the handler is a class, and let it start.

        Args:
            http: The HTTP client that all handlers share.

        Raises:
            Exception: Whatever the plugin raises.
        """
        if self.registered.made_with is None:
            return
        given = {
            "options": self.options,
            "logger": plugin_logger(self.registered.plugin.name),
            "http": http,
            "route": self.route.name,
        }
        self._made = self.registered.made_with.bind(self.registered.call, _take)(given)
        self._call = self.registered.arguments.bind(self._made, _of)
        await self._run("start")

    async def stop(self) -> None:
        """Let the object stop, if one was made.

        Raises:
            Exception: Whatever the plugin raises.
        """
        if self._made is not None:
            await self._run("stop")

    async def _run(self, name: str) -> None:
        """Call a method of the object without arguments, if it has it."""
        method = getattr(self._made, name, None)
        if method is None:
            return
        is_async = inspect.iscoroutinefunction(method)
        result = method() if is_async else await (await self._threads.begin(method))
        if inspect.isawaitable(result):
            await result


_THE_TWO = ("event", "context")


def _take(given: Mapping[str, Any], name: str) -> Any:
    return getitem(given, name)


def _of(context: Any, name: str) -> Any:
    return context if name == "context" else getattr(context, name)


def _not_started(_context: Context) -> Any:
    raise AssertionError("a class of handlers is started before it is called")

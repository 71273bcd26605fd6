"""What an entry of ``alerts`` calls: the channel of a plugin, with the arguments that it asks for."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from operator import getitem
from typing import TYPE_CHECKING, Any

from router.config import AlertSettings
from router.containment import current_plugin
from router.events import Alert
from router.hookspecs import plugin_logger
from router.plugins import RegisteredChannel
from router.threads import Threads

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: Threads of a channel that is ``def``: one that hangs leaves one.
_THREADS = 2


def channel_call(
    settings: AlertSettings, registered: RegisteredChannel, http: ClientSession
) -> Callable[[Alert], Awaitable[None]]:
    """Return what sends an alert through a channel. It raises whatever the channel raises."""
    constant = {
        "options": registered.options.make(settings.options),
        "logger": plugin_logger(registered.plugin.name),
        "http": http,
    }
    bound: Callable[[Mapping[str, Any]], Any] = registered.arguments.bind(registered.call, getitem)
    threads = Threads(f"alerts-{registered.name}", _THREADS)

    async def call(alert: Alert) -> None:
        current_plugin.set(registered.plugin.name)  # each call has a task of its own
        given = {**constant, "alert": alert}
        result = bound(given) if registered.is_async else await (await threads.begin(partial(bound, given)))
        if inspect.isawaitable(result):
            await result

    return call

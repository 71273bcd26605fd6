"""What plugin authors import. Everything listed here stays; everything else may change."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.clock import now
    from router.context import BlockingContext, Context, Delivery
    from router.errors import GiveUp, GreenApiError, RetryLater, SendInDoubt
    from router.events import Alert, AlertKind, Event
    from router.greenapi.client import InstanceApi
    from router.hookspecs import (
        AlertChannel,
        Command,
        Endpoint,
        Handler,
        PluginRoute,
        PluginTasks,
        RegisterAlertChannel,
        RegisterCommand,
        RegisterHandler,
        RegisterPage,
        RegisterSchema,
        hookimpl,
    )
    from router.options import Duration, Size
    from router.outgoing import AddressGuard, AddressRefused, connection_failure
    from router.state import BlockingState, State

__all__ = [
    "AddressGuard",
    "AddressRefused",
    "Alert",
    "AlertChannel",
    "AlertKind",
    "BlockingContext",
    "BlockingState",
    "Command",
    "Context",
    "Delivery",
    "Duration",
    "Endpoint",
    "Event",
    "GiveUp",
    "GreenApiError",
    "Handler",
    "InstanceApi",
    "PluginRoute",
    "PluginTasks",
    "RegisterAlertChannel",
    "RegisterCommand",
    "RegisterHandler",
    "RegisterPage",
    "RegisterSchema",
    "RetryLater",
    "SendInDoubt",
    "Size",
    "State",
    "connection_failure",
    "hookimpl",
    "now",
]

#: Where each name is. Modules are imported when one of their names is asked for: pytest imports this
#: package at every start on a machine where the router is installed.
_HOMES = {
    "router.clock": ("now",),
    "router.context": ("BlockingContext", "Context", "Delivery"),
    "router.errors": ("GiveUp", "GreenApiError", "RetryLater", "SendInDoubt"),
    "router.events": ("Alert", "AlertKind", "Event"),
    "router.greenapi.client": ("InstanceApi",),
    "router.hookspecs": (
        "AlertChannel",
        "Command",
        "Endpoint",
        "Handler",
        "PluginRoute",
        "PluginTasks",
        "RegisterAlertChannel",
        "RegisterCommand",
        "RegisterHandler",
        "RegisterPage",
        "RegisterSchema",
        "hookimpl",
    ),
    "router.options": ("Duration", "Size"),
    "router.outgoing": ("AddressGuard", "AddressRefused", "connection_failure"),
    "router.state": ("BlockingState", "State"),
}


if not TYPE_CHECKING:  # or a type checker would take any name for a public one

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                return globals().setdefault(name, getattr(import_module(home), name))
        raise AttributeError(f"module 'router' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""What plugin authors import. Everything listed here stays; everything else may change."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.clock import now
    from router.context import Context, Delivery
    from router.errors import GiveUp, RetryLater
    from router.events import Event
    from router.hookspecs import Handler, RegisterHandler, hookimpl

__all__ = [
    "Context",
    "Delivery",
    "Event",
    "GiveUp",
    "Handler",
    "RegisterHandler",
    "RetryLater",
    "hookimpl",
    "now",
]

#: Where each name is. Modules are imported when one of their names is asked for: pytest imports this
#: package at every start on a machine where the router is installed.
_HOMES = {
    "router.clock": ("now",),
    "router.context": ("Context", "Delivery"),
    "router.errors": ("GiveUp", "RetryLater"),
    "router.events": ("Event",),
    "router.hookspecs": ("Handler", "RegisterHandler", "hookimpl"),
}


if not TYPE_CHECKING:  # or a type checker would take any name for a public one

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                return globals().setdefault(name, getattr(import_module(home), name))
        raise AttributeError(f"module 'router' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

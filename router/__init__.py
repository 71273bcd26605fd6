"""What plugin authors import. Everything listed here stays; everything else may change."""

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
]

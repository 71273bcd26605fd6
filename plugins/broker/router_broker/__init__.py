"""Publishes every event to a message broker; a delivery is done once the broker has confirmed the event."""

from __future__ import annotations

from router import RegisterHandler, hookimpl
from router_broker.options import Options
from router_broker.publisher import Publisher

__all__ = ["Options", "Publisher"]


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer ``broker``."""
    register("broker", Publisher, options=Options)

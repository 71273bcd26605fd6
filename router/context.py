"""What a handler is given beside its event."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog


@dataclass(frozen=True, slots=True)
class Delivery:
    """One (event, route), as its handler sees it."""

    #: Number of the delivery: it stays the same over all attempts.
    id: int
    #: Id of the event.
    event: str
    #: Name of the route in ``routes.yaml``.
    route: str
    #: Name of the handler.
    handler: str
    #: 1 for the first attempt.
    attempt: int


#: The delivery whose handler runs in this task or thread: every log line written there names it.
current_delivery: ContextVar[Delivery | None] = ContextVar("current_delivery", default=None)


class Context:
    """What the router offers a handler for one attempt.

    Attributes:
        delivery: Which delivery this is, and which attempt.
        options: The route's ``options``, checked against the schema the handler registered.
    """

    def __init__(self, delivery: Delivery, options: Mapping[str, Any]) -> None:
        self.delivery = delivery
        self.options = options

    @cached_property
    def logger(self) -> structlog.typing.FilteringBoundLogger:
        """A logger whose lines carry ``event_id``, ``route``, ``handler`` and ``attempt``.

        Lines of any other logger that a handler uses carry them as well.
        """
        logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(
            f"handler.{self.delivery.handler}"
        )
        return logger

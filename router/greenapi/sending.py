"""Whether a request that was cut off may have reached GREEN-API."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Sending:
    """How far a call has come. What asks over HTTP keeps it up to date; anything else leaves it as it is."""

    #: GREEN-API may have done what it was asked.
    may_be_done: bool = True


#: The call that this task wants to know about.
current_sending: ContextVar[Sending | None] = ContextVar("current_sending", default=None)

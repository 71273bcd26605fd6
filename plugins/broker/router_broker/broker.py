"""What the publisher asks of a broker, whichever it is."""

from __future__ import annotations

from typing import Protocol

from router_broker.message import Message


class Broker(Protocol):
    """A connection to a broker. It is used by many deliveries at once."""

    @property
    def is_open(self) -> bool:
        """Whether it may still be used; once false it stays false."""

    async def connect(self) -> None:
        """Connect; called once.

        Raises:
            RetryLater: That failed, with the reason.
        """

    async def publish(self, message: Message) -> None:
        """Publish, and return when the broker has confirmed that it keeps the message.

        Raises:
            RetryLater: It did not, or that is not known.
            GiveUp: It will never take this message.
        """

    async def close(self) -> None:
        """Close, without waiting for what is not confirmed; also what `connect` left half done."""

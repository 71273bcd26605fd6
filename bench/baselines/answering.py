"""The router with nothing behind its webhook: it reads each notification and answers as if it were stored."""

from __future__ import annotations

import router.pipeline
from router.cli import main
from router.events import Receipt, ReceiptStatus, Transport
from router.intake import Intake

_RECEIPT = Receipt(ReceiptStatus.ACCEPTED, "01a20cc7-0000-7000-8000-000000000000")


class Answering(Intake):
    """An intake that takes nothing in."""

    async def receive(self, body: bytes, transport: Transport, instance: int | None = None) -> Receipt:
        """Say that it is accepted."""
        return _RECEIPT


router.pipeline.Intake = Answering  # type: ignore[attr-defined]
main()

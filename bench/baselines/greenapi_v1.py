"""GREEN-API's first webhook server in Python, run as its README says, with a handler that does nothing."""

from __future__ import annotations

import sys

from whatsapp_api_webhook_server_python import webhooksHandler  # type: ignore[import-not-found]


def on_event(*_: object) -> None:
    """Do nothing with a notification."""


webhooksHandler.startServer("127.0.0.1", int(sys.argv[1]), on_event)

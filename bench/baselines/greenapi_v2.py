"""GREEN-API's second webhook server in Python, run as its README says, with a handler that does nothing."""

from __future__ import annotations

import sys

from whatsapp_api_webhook_server_python_v2 import GreenAPIWebhookServer  # type: ignore[import-not-found]


def on_event(*_: object) -> None:
    """Do nothing with a notification."""


GreenAPIWebhookServer(event_handler=on_event, host="127.0.0.1", port=int(sys.argv[1])).start()

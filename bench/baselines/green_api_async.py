"""GREEN-API's own client polls many instances in one process, each as its README says, and does nothing else.

Its ``deleteNotificationAsync`` leaves the receipt's id out of the URL, so that nothing is ever deleted; here
it is mended.
"""

from __future__ import annotations

import asyncio
import sys

from whatsapp_api_client_python.API import GreenAPI  # type: ignore[import-not-found]
from whatsapp_api_client_python.tools.receiving import Receiving  # type: ignore[import-not-found]

_DELETE = "{{host}}/waInstance{{idInstance}}/deleteNotification/{{apiTokenInstance}}"


async def delete(self: Receiving, receipt: int) -> object:
    """Delete a notification."""
    return await self.api.requestAsync("DELETE", f"{_DELETE}/{receipt}")


def on_event(*_: object) -> None:
    """Do nothing with a notification."""


async def main(url: str, instances: list[str]) -> None:
    """Poll all instances, for ever."""
    clients = [GreenAPI(instance, "token", host=url) for instance in instances]
    await asyncio.gather(*(client.webhooks.startReceivingNotificationsAsync(on_event) for client in clients))


Receiving.deleteNotificationAsync = delete
asyncio.run(main(sys.argv[1], sys.argv[2:]))

"""The channel: each alert to each address, and again to those only where it failed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from apprise import NotifyType

from router import Alert, AlertKind, RetryLater
from router_apprise.options import Options
from router_apprise.service import Service

#: Alerts of which it is remembered where they were sent, until they were sent everywhere.
_REMEMBERED = 1_000

_WARNINGS = {AlertKind.UNKNOWN_TYPE, AlertKind.QUIET}


class Channel:
    """Sends alerts; one object for all entries of ``alerts`` that name it."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        #: By an alert's id: the addresses that have it.
        self._sent: OrderedDict[str, set[str]] = OrderedDict()

    async def send(self, alert: Alert, options: Options) -> None:
        """Send an alert to each address that does not have it.

        Raises:
            RetryLater: Some do not have it yet; it says which, and why.
        """
        sent = self._sent.setdefault(alert.id, set())
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        errors = await asyncio.gather(
            *(self._send(alert, options, url, sent) for url in options.urls if url not in sent)
        )
        if failed := [error for error in errors if error is not None]:
            raise RetryLater("; ".join(failed))
        self._sent.pop(alert.id, None)

    async def _send(self, alert: Alert, options: Options, url: str, sent: set[str]) -> str | None:
        service = self._service(url)
        title = f"{options.prefix} {alert.title}".strip()
        error = await service.send(title, alert.text, _severity(alert), lambda: sent.add(url))
        number = options.urls.index(url)
        return None if error is None else f"urls[{number}] ({service.name}): {error}"

    def _service(self, url: str) -> Service:
        if url not in self._services:
            self._services[url] = Service(url)
        return self._services[url]


def _severity(alert: Alert) -> NotifyType:
    if alert.is_recovered:
        return NotifyType.SUCCESS
    return NotifyType.WARNING if alert.kind in _WARNINGS else NotifyType.FAILURE

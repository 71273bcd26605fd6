"""One address of apprise: checked, and called in a thread of its own, for apprise's calls block."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from difflib import get_close_matches
from urllib.parse import unquote

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType, OverflowMode
from apprise.plugins import N_MGR

from router_apprise.library import listening, schemes

_SCHEME = re.compile(r"\s*([A-Za-z0-9]{1,20})://")
#: What separates the parts of an address.
_BETWEEN = re.compile(r"[^\w-]+")
#: Shorter parts are no secrets, and taking them out would leave nothing to read.
_SHORTEST = 4


class Service:
    """A service that can be told something.

    Raises:
        ValueError: apprise cannot use the address. The text says nothing of what is in it.
    """

    def __init__(self, url: str) -> None:
        schemes()
        with listening():
            service = Apprise.instantiate(url, asset=AppriseAsset(app_id="green-event-router"))
        if not isinstance(service, NotifyBase):
            raise ValueError(_problem(url))  # noqa: TRY004 - it is the address that is wrong
        self._service = service
        self._overflow = None if "overflow=" in url else OverflowMode.TRUNCATE
        self._parts = _parts(url)
        #: A message is on its way, whether or not anybody still waits for its end.
        self._is_busy = False

    @property
    def name(self) -> str:
        """What apprise calls it."""
        return str(self._service.service_name)

    async def send(
        self, title: str, body: str, kind: NotifyType, on_sent: Callable[[], object]
    ) -> str | None:
        """Send a message; return what went wrong.

        Args:
            on_sent: Called when it was sent, even if this call was cancelled in the meantime.
        """
        if self._is_busy:
            return "its last message is still on its way"
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[str | None] = loop.create_future()

        def run() -> None:
            error = self._send(title, body, kind)
            if error is None:
                on_sent()
            self._is_busy = False
            try:
                loop.call_soon_threadsafe(_settle, ended, error)
            except RuntimeError:  # the loop is closed: nobody waits for this any more
                return

        self._is_busy = True
        threading.Thread(target=run, name=f"apprise-{self.name}", daemon=True).start()
        return await ended

    def _send(self, title: str, body: str, kind: NotifyType) -> str | None:
        with listening() as said:
            try:
                is_sent = self._service.notify(
                    title=title,
                    body=body,
                    notify_type=kind,
                    body_format=NotifyFormat.TEXT,
                    overflow=self._overflow,
                )
            except Exception as exc:
                is_sent = False
                said.append(f"{type(exc).__name__}: {exc}")
        return None if is_sent else self._without_secrets(" ".join(said) or "it was not sent")

    def _without_secrets(self, text: str) -> str:
        for part in self._parts:
            text = text.replace(part, "…")
        return " ".join(text.split())


def _settle(ended: asyncio.Future[str | None], error: str | None) -> None:
    if not ended.done():
        ended.set_result(error)


def _parts(url: str) -> list[str]:
    """Return all parts of an address that may be secret, the longest first."""
    scheme, _, rest = url.partition("://")
    spellings = (rest, unquote(rest))
    parts = {part for text in spellings for part in _BETWEEN.split(text) if len(part) >= _SHORTEST}
    return sorted(parts - {scheme}, key=len, reverse=True)


def _problem(url: str) -> str:
    """Say what is wrong with an address, without quoting it."""
    match = _SCHEME.match(url)
    if match is None:
        return "expected an address of apprise, such as tgram://BOT_TOKEN/CHAT_ID"
    known = schemes()
    scheme = match[1].lower()
    if scheme in known:
        service = N_MGR[scheme]
        form = str(service.templates[0]).replace("{schema}", scheme)
        return f"the address of {service.service_name} is not complete: expected a form such as {form}"
    near = get_close_matches(scheme, known, n=1)
    hint = f"; did you mean {near[0]}://?" if near else ""
    return f"apprise has no service whose addresses begin like this one{hint}"

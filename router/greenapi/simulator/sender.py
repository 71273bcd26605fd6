"""The webhook sender: one notification of an instance at a time, and the same one again until it is taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientSession, ClientTimeout

from router.greenapi.simulator.account import Account
from router.greenapi.simulator.answers import Answer, torn
from router.greenapi.simulator.queue import Entry

#: Seconds until the same notification is posted again.
_PAUSE = 60.0
#: Seconds that an answer may take.
_PATIENCE = 180.0
#: An answer gets this long, in our seconds, however fast the clock is.
_LEAST_PATIENCE = 1.0


class WebhookSender:
    """Posts what an instance has in its queue, while its settings have a ``webhookUrl``."""

    def __init__(self, account: Account, session: ClientSession) -> None:
        self._account = account
        self._session = session

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            await self._account.is_posted_to.wait()
            entry = await self._account.queue.first()
            if self._account.is_posted_to.is_set():
                await self._deliver(entry)

    async def _deliver(self, entry: Entry) -> None:
        entry.was_received = True
        status = await self._post(entry)
        self._account.post_answered(entry, status)
        if status != 200:
            self._account.tell(f"pauses for {_PAUSE:g} s, then posts {entry.receipt} again")
            await self._account.clock.sleep(_PAUSE)

    async def _post(self, entry: Entry) -> int:
        """Post a notification; return the status of the answer, 0 if there is none."""
        account = self._account
        started = time.monotonic()
        try:
            status = await asyncio.wait_for(self._answer(entry), self._patience())
            said = f"answered {status}"
        except (ClientError, OSError, ValueError, TimeoutError) as exc:
            status, said = 0, f"not answered: {_reason(exc)}"
        took = 1000 * (time.monotonic() - started)
        account.tell(f"posted {entry.receipt} to {account.settings['webhookUrl']}: {said} in {took:.0f} ms")
        return status

    async def _answer(self, entry: Entry) -> int:
        settings = self._account.settings
        body = torn(Answer(body=entry.body)).body if self._account.faults.tears() else entry.body
        post = self._session.post(
            settings["webhookUrl"],
            data=body,
            headers=_headers(settings["webhookUrlToken"]),
            allow_redirects=False,
        )
        async with post as answer:
            return answer.status

    def _patience(self) -> float:
        return max(_LEAST_PATIENCE, self._account.clock.ours(_PATIENCE))


@asynccontextmanager
async def senders() -> AsyncIterator[Callable[[Account], None]]:
    """Yield what starts an instance's sender; all of them end with the block."""
    tasks: list[asyncio.Task[None]] = []
    async with ClientSession(timeout=ClientTimeout(total=None), auto_decompress=False) as session:
        try:
            yield lambda account: tasks.append(asyncio.create_task(WebhookSender(account, session).run()))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc or type(exc).__name__)


def _headers(token: str) -> dict[str, str]:
    """A token that has no scheme of its own is a Bearer token."""
    content = {"Content-Type": "application/json; charset=utf-8"}
    if not token:
        return content
    return {**content, "Authorization": token if " " in token else f"Bearer {token}"}

"""Polling: for each instance receive → store → delete, over and over, whatever comes.

A notification is deleted from GREEN-API's queue only after it was stored. What fails is tried again
after a while that grows, and told once when it begins and once when it is over. How fast GREEN-API
answers is no pace: what leads to nothing is asked for less and less often.

Where several processes share an inbox, each instance is polled by one of them at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from random import random as any_random
from typing import Protocol

import structlog
from anyio import TASK_STATUS_IGNORED, CancelScope, Event, create_task_group, move_on_after, sleep
from anyio.abc import TaskStatus

from router import clock
from router.errors import (
    BadAnswer,
    GreenApiError,
    InboxUnavailable,
    NotHandled,
    RateLimited,
    ServerError,
)
from router.events import Transport
from router.greenapi.client import InstanceApi
from router.greenapi.notifications import Notification
from router.inbox.pollers import Pollers
from router.retry import RetryPolicy
from router.transports import Receive

_log = structlog.get_logger("router.polling")

#: After what usually passes by itself: a lost connection, 5xx, 429, an inbox that cannot be written.
_SOON = RetryPolicy(attempts=sys.maxsize, first=1, factor=2, max=20, jitter=0.5)
#: After what a person has to mend: a wrong token, a webhookUrl, an instance that is not authorized.
_SLOWLY = RetryPolicy(attempts=sys.maxsize, first=10, factor=2, max=120, jitter=0.5)
#: After an empty answer that came at once.
_HASTY = RetryPolicy(attempts=sys.maxsize, first=0.5, factor=2, max=5, jitter=0.5)
#: The share of the time asked for after which an empty answer is an honest one.
_HONEST = 0.5
#: The longest wait that GREEN-API may ask for.
_LONGEST = 300.0
#: Failures of the passing kind that are no alert yet.
_BLIPS = 2
#: How often a broken answer has to come before the notification, and not an accident, is taken for broken.
_THRICE = 3
#: What is told of a notification that is the head of the queue although it was deleted.
_STAYS = "the notification stays in the queue, and keeps back all that come after it"
#: Seconds that storing and deleting get when the router stops.
_GRACE = 1.0


class Observer(Protocol):
    """Is told of instances that cannot be polled."""

    def lost(self, instance: int, error: Exception) -> None:
        """Nothing can be received any more, and it does not look like a moment's trouble."""

    def restored(self, instance: int) -> None:
        """It can be again."""


class Polling:
    """All pollers of the process, each independent of the others.

    Args:
        instances: The instances, each with the seconds that GREEN-API holds a request open.
        receive: Stores a notification.
        pollers: Says which of them this process polls.
        observer: Is told of instances that cannot be polled.
    """

    def __init__(
        self,
        instances: Iterable[tuple[InstanceApi, float]],
        receive: Receive,
        pollers: Pollers,
        observer: Observer,
    ) -> None:
        self._turns = [
            Turns(pollers, api.id, partial(Poller, api, seconds, receive, observer))
            for api, seconds in instances
        ]
        self._ended = Event()
        self._scope: CancelScope | None = None

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Poll until `stop`."""
        with CancelScope() as self._scope:
            async with create_task_group() as tasks:
                for turns in self._turns:
                    tasks.start_soon(turns.run)
                task_status.started()
        self._ended.set()

    async def stop(self) -> None:
        """End what waits at once, and what stores or deletes within a second.

        What was stored and not deleted comes again, and is a duplicate then.
        """
        assert self._scope is not None, "it runs"
        for turns in self._turns:
            turns.stop()
        with move_on_after(_GRACE):
            await self._ended.wait()
        self._scope.cancel()


class Turns:
    """Polls one instance whenever this process is the one that does.

    Args:
        pollers: Says when that is.
        instance: The instance.
        make: Makes a poller for one turn.
    """

    def __init__(self, pollers: Pollers, instance: int, make: Callable[[], Poller]) -> None:
        self._pollers = pollers
        self._instance = instance
        self._make = make
        self._stopping = False
        self._waiting: CancelScope | None = None

    async def run(self) -> None:
        """Take turns until `stop`."""
        while await self._waited(self._pollers.taken):
            poller = self._make()
            try:
                async with create_task_group() as tasks:
                    tasks.start_soon(poller.run)
                    is_asked_back = await self._waited(self._pollers.asked_back)
                    poller.stop()
            finally:
                self._pollers.give_back(self._instance)
            if is_asked_back:
                poller.forget()

    def stop(self) -> None:
        """Wait for nothing any more; what is being stored or deleted goes on to its end."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _waited(self, wait: Callable[[int], Awaitable[None]]) -> bool:
        """Wait until that is over, or until `stop`; return whether it is."""
        is_over = False
        if not self._stopping:
            with CancelScope() as self._waiting:
                await wait(self._instance)
                is_over = True
        return is_over


class Poller:
    """Polls one instance.

    Args:
        api: The instance.
        receive_timeout: Seconds that GREEN-API holds a request open while nothing waits, 5 to 60.
        receive: Stores a notification.
        observer: Is told when the instance cannot be polled.
        random: Gives a number from 0 up to 1, for jitter.
        clock: Tells seconds.
    """

    def __init__(
        self,
        api: InstanceApi,
        receive_timeout: float,
        receive: Receive,
        observer: Observer,
        *,
        random: Callable[[], float] = any_random,
        clock: Callable[[], float] = clock.seconds,
    ) -> None:
        self._api = api
        self._receive_timeout = receive_timeout
        self._receive = receive
        self._observer = observer
        self._random = random
        self._clock = clock
        self._stopping = False
        self._idle: CancelScope | None = None
        # What went wrong since something went right
        self._failures = 0
        self._hasty = 0
        # The last receipt that is gone, as GREEN-API said, and an answer that may be an accident
        self._gone: int | None = None
        self._broken: tuple[bytes, int] = (b"", 0)

    async def run(self) -> None:
        """Poll until `stop`."""
        while not self._stopping:
            try:
                notification = await self._next()
                if notification is not None and await self._store(notification):
                    await self._delete(notification)
            except Exception as exc:  # whatever it is, it must not end the polling of all instances
                _log.exception("polling.failed", idInstance=self._api.id)
                await self._failed(exc)

    def stop(self) -> None:
        """Wait for nothing any more; what is being stored or deleted goes on to its end."""
        self._stopping = True
        if self._idle is not None:
            self._idle.cancel()

    def forget(self) -> None:
        """Tell nothing of the instance any more: whoever polls it from now on does."""
        if self._failures:
            self._observer.restored(self._api.id)

    async def _next(self) -> Notification | None:
        """Return the head of the queue, or ``None`` if there is none or it could not be received."""
        asked_at, notification = self._clock(), None
        try:
            with self._idling():
                notification = await self._api.receive_notification(self._receive_timeout)
                self._require_whole(notification)
        except GreenApiError as exc:
            await self._failed(exc)
            return None
        if self._stopping:
            return None
        if notification is None:
            self._worked()
            await self._pace(took=self._clock() - asked_at)
        else:
            self._hasty = 0
        return notification

    def _require_whole(self, notification: Notification | None) -> None:
        """Let a broken answer pass only if it is the same every time: then the notification is broken."""
        if notification is None or not notification.is_broken:
            return
        body, times = self._broken
        self._broken = (notification.body, times + 1 if body == notification.body else 1)
        if self._broken[1] < _THRICE:
            raise BadAnswer(self._api.id, "receiveNotification", "expected JSON, found a broken answer")

    async def _store(self, notification: Notification) -> bool:
        """Store a notification; return whether it may be deleted."""
        try:
            await self._receive(notification.body, Transport.POLLING, self._api.id)
        except (InboxUnavailable, NotHandled) as exc:
            await self._failed(exc)
            return False
        return True

    async def _delete(self, notification: Notification) -> None:
        """Delete what was stored, until GREEN-API has done it or surely will not."""
        receipt = notification.receipt_id
        while True:
            try:
                was_deleted = await self._api.delete_notification(receipt)
            except GreenApiError as exc:
                await self._failed(exc)
                # What an answer that is none meant, the next notification shows.
                if self._stopping or not exc.may_pass or isinstance(exc, BadAnswer):
                    return
            else:
                await self._note_deleted(receipt, was_deleted=was_deleted)
                return

    async def _note_deleted(self, receipt: int, *, was_deleted: bool) -> None:
        """Go on, unless GREEN-API had said before that this receipt is gone."""
        if not was_deleted:
            _log.debug("polling.not_deleted", idInstance=self._api.id, receiptId=receipt)
        comes_again, self._gone = receipt == self._gone, receipt
        if comes_again:
            await self._failed(ServerError(self._api.id, "deleteNotification", _STAYS))
        else:
            self._worked()

    def _worked(self) -> None:
        if self._failures:
            _log.info("polling.restored", idInstance=self._api.id, failures=self._failures)
            self._observer.restored(self._api.id)
            self._failures = 0

    async def _failed(self, exc: Exception) -> None:
        """Tell what happened, if it did not happen before, and wait."""
        self._failures += 1
        passes = not isinstance(exc, GreenApiError) or exc.may_pass
        if self._failures == 1:
            _log.warning("polling.lost", idInstance=self._api.id, error=str(exc))
        is_told_already = isinstance(exc, InboxUnavailable | NotHandled)
        if not is_told_already and (not passes or self._failures > _BLIPS):
            self._observer.lost(self._api.id, exc)
        wait = (_SOON if passes else _SLOWLY).next(self._failures, self._random)
        assert wait is not None, "there is always another attempt"
        if isinstance(exc, RateLimited) and exc.retry_after is not None:
            wait = max(wait, min(exc.retry_after, _LONGEST))
        await self._wait(wait)

    async def _pace(self, *, took: float) -> None:
        """Wait if GREEN-API said at once that there is nothing."""
        self._hasty = self._hasty + 1 if took < self._receive_timeout * _HONEST else 0
        wait = _HASTY.next(self._hasty, self._random) if self._hasty else None
        if wait is not None:
            await self._wait(wait)

    async def _wait(self, seconds: float) -> None:
        with self._idling():
            await sleep(seconds)

    def _idling(self) -> CancelScope:
        """What is done within can be given up when the router stops."""
        self._idle = CancelScope()
        if self._stopping:
            self._idle.cancel()
        return self._idle

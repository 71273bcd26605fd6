"""Polling: for each instance receive → store → delete, over and over, whatever comes.

A notification is deleted from GREEN-API's queue only after it was stored. What fails is tried again
after a while that grows, and told once when it begins and once when it is over. How fast GREEN-API
answers is no pace: what leads to nothing is asked for less and less often.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from random import random as any_random
from time import monotonic
from typing import Protocol

import structlog
from anyio import TASK_STATUS_IGNORED, CancelScope, Event, create_task_group, move_on_after, sleep
from anyio.abc import TaskStatus

from router.errors import BadAnswer, GreenApiError, InboxUnavailable, NotHandled, RateLimited
from router.events import Transport
from router.greenapi.client import InstanceApi
from router.greenapi.notifications import Notification
from router.retry import RetryPolicy
from router.transports import Receive

_log = structlog.get_logger("router.polling")

#: After what usually passes by itself: a lost connection, 5xx, 429, an inbox that cannot be written.
_SOON = RetryPolicy(attempts=sys.maxsize, first=1, factor=2, max=20, jitter=0.5)
#: After what a person has to mend: a wrong token, a webhookUrl, an instance that is not authorized.
_SLOWLY = RetryPolicy(attempts=sys.maxsize, first=10, factor=2, max=120, jitter=0.5)
#: After a round that led to nothing: an empty answer at once, a receipt that was deleted already.
_FRUITLESS = RetryPolicy(attempts=sys.maxsize, first=0.5, factor=2, max=5, jitter=0.5)
#: The share of the time asked for after which an empty answer is an honest one.
_HONEST = 0.5
#: The longest wait that GREEN-API may ask for.
_LONGEST = 300.0
#: Failures of the passing kind that are no alert yet.
_BLIPS = 2
#: How often a broken answer has to come before the notification, and not an accident, is taken for broken.
_THRICE = 3
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
        observer: Is told of instances that cannot be polled.
    """

    def __init__(
        self, instances: Iterable[tuple[InstanceApi, float]], receive: Receive, observer: Observer
    ) -> None:
        self._pollers = [Poller(api, seconds, receive, observer) for api, seconds in instances]
        self._ended = Event()
        self._scope: CancelScope | None = None

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Poll until `stop`."""
        with CancelScope() as self._scope:
            async with create_task_group() as tasks:
                for poller in self._pollers:
                    tasks.start_soon(poller.run)
                task_status.started()
        self._ended.set()

    async def stop(self) -> None:
        """End what waits at once, and what stores or deletes within a second.

        What was stored and not deleted comes again, and is a duplicate then.
        """
        assert self._scope is not None, "it runs"
        for poller in self._pollers:
            poller.stop()
        with move_on_after(_GRACE):
            await self._ended.wait()
        self._scope.cancel()


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
        clock: Callable[[], float] = monotonic,
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
        self._fruitless = 0
        # The last notification that was taken, and an answer that may be an accident
        self._last_receipt: int | None = None
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
            is_honest = self._clock() - asked_at >= self._receive_timeout * _HONEST
        else:  # after a failure there was a wait already
            is_honest = notification.receipt_id != self._last_receipt or self._failures > 0
        await self._pace(is_honest=is_honest)
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
        self._last_receipt = notification.receipt_id
        while True:
            try:
                was_deleted = await self._api.delete_notification(notification.receipt_id)
            except GreenApiError as exc:
                await self._failed(exc)
                if self._stopping or not exc.may_pass:
                    return
            else:
                self._worked()
                if not was_deleted:
                    _log.debug(
                        "polling.not_deleted", idInstance=self._api.id, receiptId=notification.receipt_id
                    )
                return

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

    async def _pace(self, *, is_honest: bool) -> None:
        """Wait if GREEN-API answers at once although there is nothing new."""
        self._fruitless = 0 if is_honest else self._fruitless + 1
        wait = _FRUITLESS.next(self._fruitless, self._random) if self._fruitless else None
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

"""The outbox: what a delivery sends is sent once, however often its handler runs.

Before a request its record is stored, and after it the answer. A record without an answer, of a request
that is not under way in this process, is in doubt: the answer was lost, or the process ended before it
was stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from weakref import WeakValueDictionary

import orjson
import structlog
from anyio import move_on_after

from router import clock
from router.errors import BadAnswer, GreenApiError, InboxUnavailable, SendInDoubt
from router.events import JsonObject
from router.greenapi.sending import Sending, current_sending
from router.inbox.store import DOUBTS, Store, StoreItem, doubt_scope, outbox_scope

_log = structlog.get_logger("router.outbox")

#: Seconds that a record may take to be stored although its handler was told to end.
_PATIENCE = 5.0
#: Records that are held in memory until the store can be written again.
_MOST_UNSAVED = 1000

#: Scope and key of a record.
_Place = tuple[str, str]


class Api(Protocol):
    """The methods of an instance, as the outbox needs them."""

    @property
    def id(self) -> int:
        """``idInstance``."""

    async def call(self, /, method: str, **arguments: Any) -> Any:
        """Call a method. Raises a `GreenApiError` if that fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One request of a delivery."""

    delivery: int
    #: Tells it from the other requests of the delivery.
    key: str
    method: str
    arguments: Mapping[str, Any]
    #: What the answer has if the request was done; ``None``: nothing that is known.
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What GREEN-API answered."""

    answer: JsonObject
    #: It was sent before, and not again now.
    is_repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A request that was sent, and nobody knows whether it was done."""

    delivery: int
    key: str
    method: str
    instance: int
    chat: str | None
    #: When it was found to be in doubt.
    at: datetime
    #: What happened, in a few words.
    error: str


def doubt_of(item: StoreItem) -> Doubt:
    """Read a value of such a scope."""
    record = orjson.loads(item.value)
    record["at"] = datetime.fromisoformat(record["at"])
    return Doubt(delivery=int(item.scope.removeprefix(DOUBTS)), key=item.key, **record)


def seen(doubt: Doubt) -> bytes:
    """Return the record of a request that a person has seen to be done; its answer is not known."""
    return orjson.dumps(
        {
            "method": doubt.method,
            "instance": doubt.instance,
            "chat": doubt.chat,
            "at": clock.now(),
            "answer": {},
        }
    )


class Outbox:
    """Sends once.

    Args:
        store: Where it is recorded.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: WeakValueDictionary[_Place, asyncio.Lock] = WeakValueDictionary()
        #: Records that could not be stored; ``None``: one that is to be removed.
        self._unsaved: dict[_Place, bytes | None] = {}
        self._saving = asyncio.Lock()

    async def answer(self, send: Send, api: Api) -> JsonObject | None:
        """Return the answer to a request that was sent before; ``None`` if it was not.

        Raises:
            SendInDoubt: Nobody knows.
            InboxUnavailable: The store cannot be read, or not be written.
        """
        async with self._lock(send):
            await self._save_all()
            found = await self._store.get(*_place(send))
            return None if found is None else await self._answer_in(found, send, api)

    async def send(self, send: Send, api: Api, check: Callable[[], object]) -> Sent:
        """Send a request, unless that was done before; return its answer.

        Args:
            send: The request.
            api: Of the instance.
            check: Raises when it is too late to send anything.

        Raises:
            SendInDoubt: It was sent, and nobody knows whether it was done.
            GreenApiError: It was not done.
            InboxUnavailable: The store cannot be written; nothing was sent.
            ValueError: The key is that of a request of another method.
        """
        place = _place(send)
        async with self._lock(send):
            await self._save_all()
            check()
            found = await self._store.add(*place, _record(send, api))
            if found is not None:
                return Sent(await self._answer_in(found, send, api), is_repeated=True)
            answer = await self._ask(send, api)
            await self._keep(place, _record(send, api, answer=answer))
            return Sent(answer, is_repeated=False)

    async def _ask(self, send: Send, api: Api) -> JsonObject:
        """Call the method. If it fails and was surely not done, nothing of it is left."""
        sending = Sending()
        token = current_sending.set(sending)
        try:
            return _checked(send, api, await api.call(send.method, **send.arguments))
        except BaseException as exc:  # a cancellation as well
            if not (exc.may_be_done if isinstance(exc, GreenApiError) else sending.may_be_done):
                await self._keep(_place(send), None)
                raise
            doubt = await self._doubt(send, api, _what_happened(exc))
            if isinstance(exc, Exception):
                raise doubt from exc
            raise
        finally:
            current_sending.reset(token)

    async def _answer_in(self, found: bytes, send: Send, api: Api) -> JsonObject:
        record = orjson.loads(found)
        if record["method"] != send.method:
            raise ValueError(
                f"key {send.key!r} of delivery {send.delivery} is that of a {record['method']}: "
                f"expected another key for {send.method}"
            )
        if "answer" in record:
            answer: JsonObject = record["answer"]
            return answer
        known = await self._store.get(*_doubt_place(send))
        if known is not None:
            raise _in_doubt(send, orjson.loads(known)["error"])
        raise await self._doubt(send, api, "it was begun, and its end was not recorded")

    async def _doubt(self, send: Send, api: Api, error: str) -> SendInDoubt:
        """Tell and record that nobody knows whether a request was done."""
        _log.warning(
            "send.in_doubt",
            idInstance=api.id,
            chatId=send.arguments.get("chatId"),
            method=send.method,
            delivery=send.delivery,
            key=send.key,
            error=error,
        )
        await self._keep(_doubt_place(send), _record(send, api, error=error))
        return _in_doubt(send, error)

    # The store

    def _lock(self, send: Send) -> asyncio.Lock:
        """Return what lets one run of a handler wait for another one that sends the same just now."""
        return self._locks.setdefault(_place(send), asyncio.Lock())

    async def _keep(self, place: _Place, record: bytes | None) -> None:
        """Store what is known by now, also while the handler is cancelled; if that fails, do it later."""
        is_stored = False
        try:
            with move_on_after(_PATIENCE, shield=True), suppress(InboxUnavailable):
                await self._write(place, record)
                is_stored = True
        finally:
            if not is_stored:
                self._keep_for_later(place, record)

    def _keep_for_later(self, place: _Place, record: bytes | None) -> None:
        _log.warning("send.not_recorded", scope=place[0], key=place[1])
        self._unsaved.pop(place, None)
        self._unsaved[place] = record
        if len(self._unsaved) > _MOST_UNSAVED:
            del self._unsaved[next(iter(self._unsaved))]

    async def _save_all(self) -> None:
        """Store what could not be stored before, or nothing more is sent."""
        if not self._unsaved:
            return
        async with self._saving:
            while self._unsaved:
                place, record = next(iter(self._unsaved.items()))
                await self._write(place, record)
                if self._unsaved.get(place, b"") is record:
                    del self._unsaved[place]

    async def _write(self, place: _Place, record: bytes | None) -> None:
        if record is None:
            await self._store.delete(*place)
        else:
            await self._store.set(*place, record)


def _place(send: Send) -> _Place:
    return outbox_scope(send.delivery), send.key


def _doubt_place(send: Send) -> _Place:
    return doubt_scope(send.delivery), send.key


def _record(send: Send, api: Api, **more: Any) -> bytes:
    return orjson.dumps(
        {
            "method": send.method,
            "instance": api.id,
            "chat": send.arguments.get("chatId"),
            "at": clock.now(),
            **more,
        }
    )


def _checked(send: Send, api: Api, answer: Any) -> JsonObject:
    """Return an answer that can be one; an empty one says that the request was done."""
    answer = {} if answer is None else answer
    if not isinstance(answer, dict) or (send.answers and send.answers not in answer):
        expected = f"an object with {send.answers}" if send.answers else "an object"
        raise BadAnswer(api.id, send.method, f"expected {expected}, found something else", status=200)
    return answer


def _what_happened(exc: BaseException) -> str:
    match exc:
        case GreenApiError():
            return exc.found
        case asyncio.CancelledError():
            return "the handler was cancelled before there was an answer"
    return f"{type(exc).__name__}: {exc}"


def _in_doubt(send: Send, found: str) -> SendInDoubt:
    return SendInDoubt(send.delivery, send.key, send.method, found)

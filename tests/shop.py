"""What tests of contexts share: an instance at a GREEN-API that answers as it is told, and its deliveries."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import aiohttp
import orjson

from router import samples
from router.context import Context, Delivery, Services
from router.errors import InboxUnavailable
from router.events import Event, JsonObject, Transport
from router.greenapi.client import GreenApi
from router.inbox.memory import MemoryInbox
from router.inbox.store import Store
from router.normalize import normalize
from router.replies import PingPong
from router.retry import RetryPolicy
from tests.greenapi.scripted import Answering, Reply, Request, Scripted
from tests.inbox.build import NOW

T = TypeVar("T")

INSTANCE = 1101000001
CHAT = "79001234567@c.us"
AT_ONCE = RetryPolicy(attempts=3, first=0)
_tokens = itertools.count()


def message(text: str = "hello", *, sender: str = CHAT, chat: str = CHAT, **more: Any) -> Event:
    """Return a message that came in, with what else its body is to have."""
    data = orjson.loads(samples.read("incomingMessageReceived/wa-text-waba.json"))
    account = {**data["instanceData"], "idInstance": INSTANCE, "wid": "79009999999@c.us"}
    senders = {"chatId": chat, "sender": sender}
    texts = {"typeMessage": "textMessage", "textMessageData": {"textMessage": text}}
    body = {**data, "instanceData": account, "senderData": senders, "messageData": texts, "idMessage": "M1"}
    return of({**body, **more})


def of(body: JsonObject) -> Event:
    return normalize(body, id="0190-1", received_at=NOW, transport=Transport.WEBHOOK)


def sample(name: str, **more: Any) -> Event:
    """Return the event of a sample of the instance."""
    data = orjson.loads(samples.read(name))
    return of({**data, "instanceData": {**data["instanceData"], "idInstance": INSTANCE}, **more})


class Fragile:
    """A store that cannot be written for a while, or whose process is killed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: The disk is full.
        self.is_full = False
        #: Steps until the process is killed: before it reads or writes, or right after that.
        self.steps_to_live: int | None = None

    async def get(self, scope: str, key: str) -> bytes | None:
        return await self._step(self._store.get(scope, key), writes=False)

    async def set(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        await self._step(self._store.set(scope, key, value, ttl=ttl))

    async def add(self, scope: str, key: str, value: bytes, *, ttl: float | None = None) -> bytes | None:
        return await self._step(self._store.add(scope, key, value, ttl=ttl))

    async def delete(self, scope: str, key: str) -> None:
        await self._step(self._store.delete(scope, key))

    async def _step(self, doing: Coroutine[Any, Any, T], *, writes: bool = True) -> T:
        try:
            await asyncio.sleep(0)
            self._live()
            if self.is_full and writes:
                raise InboxUnavailable("database or disk is full")
            done = await doing
            self._live()
            return done
        finally:
            doing.close()

    def _live(self) -> None:
        if self.steps_to_live is None:
            return
        if self.steps_to_live <= 0:
            raise Killed
        self.steps_to_live -= 1


class Killed(BaseException):
    """Raised where the process is no more."""


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Shop:
    """Deliveries of a route of the plugin ``crm``; with `restart` all that the process knew is gone."""

    def __init__(self, server: Scripted, green_api: GreenApi, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.ledger = MemoryInbox({})
        self.memory = self.ledger.store
        self.store = Fragile(self.memory)
        self.clock = Clock()
        self._green_api = green_api
        self._http = http
        self.restart()

    def restart(self) -> None:
        # A token of its own, so that no request waits for its slot.
        api = self._green_api.instance(INSTANCE, self.server.url, f"token-{next(_tokens)}")
        self.store = Fragile(self.memory)
        self.services = Services(
            plugin="crm",
            store=self.store,
            apis={INSTANCE: api},
            ping_pong=PingPong(self.clock),
            http=self._http,
            loop=asyncio.get_running_loop(),
        )

    def context(self, event: Event | None = None, *, delivery: int = 7, attempt: int = 1) -> Context:
        event = event or message()
        return Context(event, Delivery(delivery, event.id, "orders", "crm", attempt), {}, self.services)

    def keep_in(self, store: Store) -> None:
        self.services = replace(self.services, store=store)

    def of_plugin(self, plugin: str) -> Services:
        return replace(self.services, plugin=plugin)

    @property
    def said(self) -> list[str]:
        """The texts that GREEN-API was asked to send."""
        return [said(request) for request in self.server.requests]

    def records(self, scope: str) -> JsonObject:
        return {item.key: orjson.loads(item.value) for item in self.memory.items_of(scope, 100)}


def said(request: Request) -> str:
    words: str = orjson.loads(request.body)["message"]
    return words


def sent(request: Request) -> Reply:
    """Answer as GREEN-API does when all is well."""
    return Reply(content={"idMessage": f"id of {said(request)}"})


@asynccontextmanager
async def open_shop(answer: Answering = sent) -> AsyncIterator[Shop]:
    async with (
        Scripted(answer).serving() as server,
        GreenApi(AT_ONCE) as green_api,
        aiohttp.ClientSession() as http,
    ):
        yield Shop(server, green_api, http)

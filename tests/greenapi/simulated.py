"""What the simulator's tests share: a caller of its HTTP API, a clock that is set, a webhook that records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientSession, web

from router.greenapi.methods import find
from router.greenapi.simulator import Account, Simulator

CHAT = "79007654321@c.us"


class Hand:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Came:
    """An answer."""

    status: int
    text: str
    content_type: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.text)


class Caller:
    """Calls the methods of one instance, each with its own verb."""

    def __init__(self, session: ClientSession, url: str, account: Account) -> None:
        self._session = session
        self._url = url
        self._account = account

    async def __call__(
        self,
        method: str,
        last: str = "",
        *,
        query: Mapping[str, Any] | None = None,
        verb: str | None = None,
        token: str | None = None,
        id_instance: int | str | None = None,
        prefix: str = "",
        data: Any = None,
        **arguments: Any,
    ) -> Came:
        whose, key = id_instance or self._account.id, token or self._account.token
        path = f"{prefix}/waInstance{whose}/{method}/{key}{last}"
        verb = verb or find(method).verb
        body = orjson.dumps(arguments) if verb == "POST" and data is None else data
        request = self._session.request(verb, f"{self._url}{path}", params=query or {}, data=body)
        async with request as answer:
            return Came(answer.status, await answer.text(), answer.content_type)


@asynccontextmanager
async def calling(simulator: Simulator, account: Account) -> AsyncIterator[Caller]:
    """Serve, and yield what calls the methods of an instance."""
    async with simulator.serve() as url, ClientSession() as session:
        yield Caller(session, url, account)


@dataclass(frozen=True)
class Post:
    """What a webhook got."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The text of the message that it tells of."""
        words: str = orjson.loads(self.body)["messageData"]["textMessageData"]["textMessage"]
        return words


class Webhook:
    """Records what is posted, and answers one status after the other, then 200."""

    #: Stands for a status: there is no answer.
    NEVER = 0

    def __init__(self, *statuses: int, headers: Mapping[str, str] | None = None) -> None:
        self.posts: list[Post] = []
        self.url = ""
        self._statuses = list(statuses)
        self._headers = headers or {}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.posts.append(Post(await request.read(), dict(request.headers)))
        status = self._statuses.pop(0) if self._statuses else 200
        if status == self.NEVER:
            await asyncio.Event().wait()
        return web.Response(status=status, headers=self._headers)


@asynccontextmanager
async def listening(webhook: Webhook) -> AsyncIterator[Webhook]:
    """Serve a webhook."""
    runner = web.ServerRunner(web.Server(webhook.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    webhook.url = f"http://{host}:{port}/webhook"
    try:
        yield webhook
    finally:
        await runner.cleanup()


def kinds(account: Account) -> list[str]:
    """Return the type of each notification that waits, and its state or status."""
    return [
        " ".join(filter(None, [each["typeWebhook"], each.get("status"), each.get("stateInstance")]))
        for each in account.queued
    ]

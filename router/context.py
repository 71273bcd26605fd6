"""What a handler is given beside its event."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from router.blocking import Blocking, blocking, waiting_in
from router.errors import NoApi
from router.events import Event, JsonObject
from router.inbox.store import Store
from router.outbox import Outbox, Send
from router.replies import REPLY, PingPong, Replies
from router.state import BlockingState, State, checked_key

if TYPE_CHECKING:  # importing aiohttp takes longer than all the rest of a command
    import aiohttp

    from router.greenapi.blocking import BlockingApi
    from router.greenapi.client import InstanceApi


@dataclass(frozen=True, slots=True)
class Delivery:
    """One (event, route), as its handler sees it."""

    #: Number of the delivery: it stays the same over all attempts.
    id: int
    #: Id of the event.
    event: str
    #: Name of the route in ``routes.yaml``.
    route: str
    #: Name of the handler.
    handler: str
    #: 1 for the first attempt.
    attempt: int


#: The delivery whose handler runs in this task or thread: every log line written there names it.
current_delivery: ContextVar[Delivery | None] = ContextVar("current_delivery", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What contexts work with: the same for all deliveries of a route."""

    #: Name of the plugin that offers the handler.
    plugin: str
    #: Where `Context.once`, `Context.state` and the outbox keep what they know.
    store: Store
    #: By ``idInstance``: those that ``routes.yaml`` has a token for.
    apis: Mapping[int, InstanceApi]
    #: Shared by all routes.
    ping_pong: PingPong
    #: Shared by all routes.
    http: aiohttp.ClientSession
    #: In which all of this runs.
    loop: AbstractEventLoop
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outbox", Outbox(self.store))


class Context:
    """What the router offers a handler for one attempt.

    When the attempt has ended, nothing can be done with it any more: what a handler left behind, a task or
    a thread, gets a `RuntimeError`.

    Attributes:
        event: What is to be handled.
        delivery: Which delivery this is, and which attempt.
        options: The route's ``options``, as the handler registered them.
    """

    _is_closed = False

    def __init__(
        self, event: Event, delivery: Delivery, options: Any, services: Services | None = None
    ) -> None:
        self.event = event
        self.delivery = delivery
        self.options = options
        self._services = services

    @cached_property
    def logger(self) -> structlog.typing.FilteringBoundLogger:
        """A logger whose lines carry ``event_id``, ``route``, ``handler`` and ``attempt``.

        Lines of any other logger that a handler uses carry them as well.
        """
        logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(
            f"handler.{self.delivery.handler}"
        )
        return logger

    @property
    def api(self) -> InstanceApi:
        """The methods of GREEN-API for the event's instance.

        Raises:
            NoApi: ``routes.yaml`` has no token for it.
        """
        api = self._open().apis.get(self.event.instance or 0)
        if api is None:
            raise NoApi(self.event.instance)
        return api

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP client that all handlers share. Do not close it."""
        return self._open().http

    @cached_property
    def state(self) -> State:
        """What the plugin remembers of this chat of this instance."""
        event, services = self.event, self._open()
        scope = f"state/{services.plugin}/{event.instance or ''}/{event.chat or ''}"
        return State(services.store, scope, self._open)

    async def reply(self, text: str, *, quote: bool = False, always: bool = False) -> str | None:
        """Send a text to the event's chat: once, however often the handler runs.

        A reply is known by its number: the first of a delivery, the second, and so on.

        Args:
            text: What to say.
            quote: Quote the event's message, if it is one.
            always: Also reply to what the account itself did, and to the marks that GREEN-API puts in
                place of a text that it could not read.

        Returns:
            Its ``idMessage``. ``None`` if it is withheld, or if a person said that it arrived.

        Raises:
            SendInDoubt: It was sent, and nobody knows whether it arrived.
            GreenApiError: It was not sent.
            NoApi: ``routes.yaml`` has no token for the instance.
            GiveUp: The event names no chat.
            InboxUnavailable: The inbox cannot be written; nothing was sent.
        """
        self._open()
        return await self._replies.reply(text, self.api, self._open, quote=quote, always=always)

    async def once(self, key: str, *, ttl: float | None = None) -> bool:
        """Return true the first time only that the route asks with this key; durable when it returns.

        Args:
            key: Up to 512 characters.
            ttl: Seconds after which it is the first time again; never when left out.

        Raises:
            InboxUnavailable: The inbox cannot be written.
        """
        scope, value = f"once/{self.delivery.route}", str(self.delivery.id).encode()
        store = self._open().store
        return await store.add(scope, checked_key(key), value, ttl=ttl) is None

    async def send_once(self, /, key: str, method: str, **arguments: Any) -> JsonObject:
        """Call a method of GREEN-API once, however often the handler runs, and return the same answer.

        Args:
            key: Tells it from what else this delivery sends; up to 512 characters.
            method: GREEN-API's name for it, such as ``sendPoll``.
            arguments: By GREEN-API's names.

        Raises:
            SendInDoubt: It was sent, and nobody knows whether it was done; now and in each later attempt,
                until a person has decided.
            GreenApiError: It was not done.
            NoApi: ``routes.yaml`` has no token for the instance.
            InboxUnavailable: The inbox cannot be written; nothing was sent.
            ValueError: The key is none, or that of a call of another method.
        """
        services = self._open()
        if checked_key(key).startswith(REPLY):
            raise ValueError(f"expected another key than {key!r}: those that begin with {REPLY} are replies'")
        send = Send(delivery=self.delivery.id, key=key, method=method, arguments=arguments)
        return (await services.outbox.send(send, self.api, self._open)).answer

    def close(self) -> None:
        """End the attempt."""
        self._is_closed = True

    @cached_property
    def _replies(self) -> Replies:
        services = self._open()
        return Replies(self.event, self.delivery.id, services.outbox, services.ping_pong)

    def _open(self) -> Services:
        """Return what to work with, while that may be done."""
        if self._is_closed:
            delivery = self.delivery
            raise RuntimeError(
                f"attempt {delivery.attempt} of delivery {delivery.id} (route {delivery.route}) has ended: "
                "what it left behind can do nothing more with its context"
            )
        if self._services is None:
            raise RuntimeError("a context that was made by hand has no services: test with router.testing")
        return self._services


class BlockingContext(Blocking[Context]):
    """A `Context` for handlers that are ``def``: the same, but methods block, and there is no ``http``."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, self._run)
        self.event = context.event
        self.delivery = context.delivery
        self.options = context.options

    reply = blocking(Context.reply)
    once = blocking(Context.once)
    send_once = blocking(Context.send_once)

    @property
    def logger(self) -> structlog.typing.FilteringBoundLogger:
        """See `Context.logger`."""
        return self._wrapped.logger

    @property
    def api(self) -> BlockingApi:
        """The methods of GREEN-API for the event's instance. See `Context.api`."""
        from router.greenapi.blocking import BlockingApi  # noqa: PLC0415 - as above: it takes long

        return BlockingApi(self._wrapped.api, self._run)

    @property
    def state(self) -> BlockingState:
        """What the plugin remembers of this chat of this instance."""
        return BlockingState(self._wrapped.state, self._run)

    @property
    def http(self) -> NoReturn:
        """Raises: the HTTP client that handlers share is asynchronous."""
        raise RuntimeError(
            "context.http is for async def handlers: "
            "in a def handler use a blocking client, such as urllib.request, or make the handler async def"
        )

    def _run(self, start: Any) -> Any:
        services = self._wrapped._open()
        return waiting_in(services.loop)(start)

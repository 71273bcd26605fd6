"""Replies to an event's chat: each once, and none that would only be answered by another machine."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from router.errors import GiveUp
from router.events import Event, JsonObject
from router.outbox import Api, Outbox, Send

_log = structlog.get_logger("router.replies")

#: How the keys of replies begin in the outbox.
REPLY = "reply/"

#: Types that tell of what the account itself did: whoever replies to them replies to himself.
_OWN = frozenset({"outgoingMessageReceived", "outgoingAPIMessageReceived", "outgoingMessageStatus"})
#: What GREEN-API puts in place of a text that it could not read.
_MARKER = re.compile(r"\s*\{\{SWE\d+\}\}")


def why_withheld(event: Event) -> str | None:
    """Say why an event should not be replied to, if it should not."""
    account = event.data.get("instanceData")
    wid = account.get("wid") if isinstance(account, dict) else None
    if event.type in _OWN:
        return f"{event.type} tells of what the account itself did"
    if event.sender is not None and event.sender == wid:
        return "the account itself is the sender"
    if event.text is not None and (marker := _MARKER.match(event.text)):
        return f"{marker[0].strip()} stands in place of a text that GREEN-API could not read"
    return None


# Two machines that answer each other


@dataclass(frozen=True, slots=True)
class Window:
    """So many answered events within so many seconds, and no more."""

    count: int
    seconds: float


#: Somebody who reads each reply before he writes again does not come to 20 a minute, nor to 200 an hour.
#: Two machines do: at once, or, if one of them takes its time, within the hour.
WINDOWS = (Window(20, 60.0), Window(200, 3600.0))
#: Seconds without anything to reply to, after which whoever was cut off is taken for a person again.
PAUSE = 600.0
#: Partners that are remembered: those that wrote last.
_MOST_PARTNERS = 5_000

#: Instance, chat and sender.
Partner = tuple[int | None, str | None, str | None]


@dataclass(slots=True)
class _Talk:
    #: When events were answered, oldest first.
    answered: deque[float] = field(default_factory=deque)
    #: The window that was full; then nothing more is answered.
    full: Window | None = None
    #: When there was something to reply to.
    asked_at: float = 0.0


class PingPong:
    """Notices who is answered so often that both sides may be machines, and cuts him off until he pauses.

    Args:
        clock: Tells seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._talks: OrderedDict[Partner, _Talk] = OrderedDict()

    def cut_off(self, partner: Partner) -> Window | None:
        """Note that there is something to reply to; return the window that is full, if one is."""
        talk, now = self._talk(partner), self._clock()
        if talk.full and now - talk.asked_at >= PAUSE:
            talk.full = None
            talk.answered.clear()
        talk.asked_at = now
        while talk.answered and now - talk.answered[0] >= WINDOWS[-1].seconds:
            talk.answered.popleft()
        if talk.full is None:
            talk.full = next((window for window in WINDOWS if _is_full(window, talk.answered, now)), None)
            if talk.full:
                _tell_cut_off(partner, talk.full)
        return talk.full

    def answered(self, partner: Partner) -> None:
        """Count an event that was answered."""
        self._talk(partner).answered.append(self._clock())

    def _talk(self, partner: Partner) -> _Talk:
        talk = self._talks.setdefault(partner, _Talk())
        self._talks.move_to_end(partner)
        if len(self._talks) > _MOST_PARTNERS:
            self._talks.popitem(last=False)
        return talk


def _is_full(window: Window, answered: deque[float], now: float) -> bool:
    return len(answered) >= window.count and now - answered[-window.count] < window.seconds


def _tell_cut_off(partner: Partner, window: Window) -> None:
    instance, chat, sender = partner
    _log.warning(
        "reply.cut_off",
        idInstance=instance,
        chatId=chat,
        sender=sender,
        answered=window.count,
        seconds=window.seconds,
    )


# Replying


class Replies:
    """What one attempt replies.

    Args:
        event: What is replied to.
        delivery: Id of the delivery.
        outbox: Sends each reply once.
        ping_pong: Knows whom not to answer.
    """

    def __init__(self, event: Event, delivery: int, outbox: Outbox, ping_pong: PingPong) -> None:
        self._event = event
        self._delivery = delivery
        self._outbox = outbox
        self._ping_pong = ping_pong
        self._partner = (event.instance, event.chat, event.sender)
        #: How many replies there were to be, and whether one of them was sent.
        self._count = 0
        self._is_answered = False

    async def reply(
        self, text: str, api: Api, check: Callable[[], object], *, quote: bool, always: bool
    ) -> str | None:
        """See `Context.reply`."""
        self._count += 1
        send = self._send(text, quote=quote)
        reason = None if always else why_withheld(self._event)
        if reason is None and self._is_cut_off():
            repeated = await self._outbox.answer(send, api)
            if repeated is not None:
                return repeated.get("idMessage")
            reason = "the chat is cut off: see reply.cut_off"
        if reason is not None:
            self._tell_withheld(reason)
            return None
        sent = await self._outbox.send(send, api, check)
        if not sent.is_repeated:
            self._answered()
        return sent.answer.get("idMessage")

    def _send(self, text: str, *, quote: bool) -> Send:
        event = self._event
        if event.chat is None:
            raise GiveUp(f"an event of type {event.type} names no chat to reply to")
        arguments: JsonObject = {"chatId": event.chat, "message": text}
        if quote and event.message_type is not None and event.id_message is not None:
            arguments["quotedMessageId"] = event.id_message
        return Send(
            delivery=self._delivery,
            key=f"{REPLY}{self._count}",
            method="sendMessage",
            arguments=arguments,
            answers="idMessage",
        )

    def _is_cut_off(self) -> bool:
        """An event that was answered may be answered to its end."""
        return not self._is_answered and self._ping_pong.cut_off(self._partner) is not None

    def _answered(self) -> None:
        if not self._is_answered:
            self._is_answered = True
            self._ping_pong.answered(self._partner)

    def _tell_withheld(self, reason: str) -> None:
        event = self._event
        _log.info(
            "reply.withheld",
            typeWebhook=event.type,
            idInstance=event.instance,
            chatId=event.chat,
            idMessage=event.id_message,
            reason=reason,
        )

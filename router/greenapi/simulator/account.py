"""One instance of GREEN-API: what it is, what waits in its queue, and what was done with it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import orjson

from router import samples
from router.events import JsonObject, Problem
from router.greenapi.simulator import notifications
from router.greenapi.simulator.clock import Clock
from router.greenapi.simulator.faults import Faults
from router.greenapi.simulator.journal import Journal
from router.greenapi.simulator.notifications import Chat, Whose
from router.greenapi.simulator.queue import Entry, Queue
from router.greenapi.simulator.rates import Rates
from router.greenapi.simulator.settings import Settings
from router.jsontext import dump, parse

#: Where messages come from unless a test says otherwise.
A_CHAT = "79001234567@c.us"
_ALONE = {"telegram": "10000000", "v3": "10000000"}
#: Seconds until new settings are in force: GREEN-API says "within 5 minutes", and mostly takes one.
_RESTART = 60.0
#: State → seconds after a send until it is told.
_STATUSES = {"sent": 1.0, "delivered": 2.0, "read": 4.0}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent through the API."""

    #: Such as ``sendMessage``.
    method: str
    id_message: str
    chat: str
    #: What the method was called with.
    arguments: JsonObject

    @property
    def text(self) -> str | None:
        """Its text, or the caption of its file."""
        text: str | None = self.arguments.get("message", self.arguments.get("caption"))
        return text


class Account:
    """One instance. Made by ``Simulator.add``."""

    def __init__(
        self,
        id_instance: int,
        *,
        clock: Clock,
        faults: Faults,
        random: Random,
        token: str | None,
        settings: Mapping[str, Any] | None,
        state: str,
        messenger: str,
        tell: Callable[[str], None] | None,
    ) -> None:
        self.id = id_instance
        #: Its ``apiTokenInstance``.
        self.token = token or hashlib.sha256(f"simulated {id_instance}".encode()).hexdigest()[:50]
        #: ``whatsapp``, ``telegram`` or ``v3``, which is MAX.
        self.messenger = messenger
        self.clock = clock
        self.faults = faults
        self.rates = Rates(clock)
        self.random = random
        self.queue = Queue(clock)
        self.journal = Journal()
        #: Receipts of what was acknowledged, by deleteNotification or by an answer 200, in order.
        self.deleted: list[int] = []
        #: What was sent through the API, in order.
        self.sent: list[Sent] = []
        #: HTTP statuses with which posts to ``webhookUrl`` were answered; 0: there was no answer.
        self.posted: list[int] = []
        #: What getWebhooksCount answered last, and when.
        self.counted: tuple[int, float] | None = None
        #: When clearWebhooksQueue cleared last.
        self.cleared_at: float | None = None
        self._changes: set[asyncio.Event] = set()
        #: Set while its notifications are posted, and cannot be polled.
        self.is_posted_to = asyncio.Event()
        self.settings = Settings(settings)
        self._state = state
        self._tell = tell

    # What tests do

    def push(self, body: bytes | Mapping[str, Any]) -> int:
        """Queue a notification as it is, whatever the settings say; return its receipt.

        Bytes may be anything: what is no JSON is posted as it is, and makes the answer of
        receiveNotification no JSON either.
        """
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        self.journal.note(raw)
        entry = self.queue.put(raw)
        if self._tell:
            self.tell(f"queued {entry.receipt}: {_described(raw)}")
        self.changed()
        return entry.receipt

    def message(
        self, words: str, chat: str | None = None, *, sender: str | None = None, name: str = "Ann"
    ) -> str:
        """Let a text message come in; return its ``idMessage``."""
        chat = chat or _ALONE.get(self.messenger, A_CHAT)
        person = Chat(sender or chat, name)
        body = notifications.incoming(
            self.whose, self.new_id(), Chat(chat, name), person, notifications.text(words)
        )
        self.happen(body)
        return str(body["idMessage"])

    def sample(self, name: str, chat: str | None = None) -> None:
        """Let what a sample tells of happen now, in a chat of this instance.

        Raises:
            NotFound: There is no such sample; ``router samples`` lists them.
        """
        place = Chat(chat or _ALONE.get(self.messenger, A_CHAT), "Ann")
        self.happen(notifications.fresh(samples.read(name), self.whose, self.new_id(), place))

    @property
    def state(self) -> str:
        """Its ``stateInstance``. Setting it queues a stateInstanceChanged."""
        return self._state

    @state.setter
    def state(self, value: str) -> None:
        self._state = value
        self.happen(notifications.state_changed(self.whose, value))

    @property
    def settings(self) -> Settings:
        """The settings in force. Setting them puts them in force at once."""
        return self._settings

    @settings.setter
    def settings(self, value: Settings) -> None:
        self._settings = value
        if value["webhookUrl"]:
            self.is_posted_to.set()
        else:
            self.is_posted_to.clear()
        self.changed()

    @property
    def queued(self) -> list[Any]:
        """What waits, oldest first: JSON objects, and bytes where it is no JSON."""
        bodies = [entry.body for entry in self.queue]
        return [raw if isinstance(found := parse(raw), Problem) else found for raw in bodies]

    async def until(self, condition: Callable[[Account], object], *, within: float = 10.0) -> None:
        """Wait until something is so; it is asked after each thing that happens here.

        Args:
            condition: Takes this instance.
            within: Seconds, of ours.

        Raises:
            TimeoutError: It was not so in time.
        """
        change = asyncio.Event()
        self._changes.add(change)
        try:
            async with asyncio.timeout(within):
                while not condition(self):
                    change.clear()
                    await change.wait()
        except TimeoutError:
            raise TimeoutError(f"instance {self.id}: not so within {within:g} s; {self.summary}") from None
        finally:
            self._changes.discard(change)

    # What GREEN-API does

    @property
    def whose(self) -> Whose:
        """What its notifications say of it."""
        return Whose(self.id, self.wid, self.messenger)

    @property
    def wid(self) -> str:
        """Its account in the messenger; empty while that is not authorized."""
        return "" if self._state == "notAuthorized" else f"7{self.id:010d}@c.us"

    @property
    def summary(self) -> str:
        """What it has come to, in a few words."""
        return f"{len(self.deleted)} deleted, {len(self.queue)} waiting, {len(self.sent)} sent"

    def new_id(self) -> str:
        """Return an ``idMessage``."""
        return notifications.new_id(self.messenger, self.random)

    def happen(self, body: JsonObject) -> None:
        """Tell of something that happened, if the settings want it told."""
        if not self._settings.want(body):
            return
        for each in self.faults.bodies(body):
            self.push(each)

    def delete(self, receipt: int) -> bool:
        """Acknowledge the head; return whether that was its receipt."""
        if not self.queue.remove(receipt):
            return False
        self.deleted.append(receipt)
        self.changed()
        return True

    def post_answered(self, entry: Entry, status: int) -> None:
        """Note how a post was answered; 200 acknowledges."""
        self.posted.append(status)
        if status == 200:
            self.delete(entry.receipt)
        self.changed()

    def send(self, method: str, chat: str, arguments: JsonObject, message: JsonObject) -> str:
        """Send a message: its echo comes at once, its statuses later; return its ``idMessage``."""
        sent = Sent(method, self.new_id(), chat, arguments)
        self.sent.append(sent)
        self.tell(f"{method} to {chat}: {dump(sent.text) if sent.text else message['typeMessage']}")
        self.happen(notifications.echo(self.whose, sent.id_message, chat, message))
        for status, seconds in _STATUSES.items():
            if (status, self.messenger) != ("sent", "v3"):
                self.clock.later(seconds, partial(self._come_further, sent, status))
        self.changed()
        return sent.id_message

    def restart(self, settings: Settings) -> None:
        """Restart as ``setSettings`` lets it; the settings are in force afterwards."""
        self.state = "starting"

        def started() -> None:
            self.settings = settings
            self.state = "authorized"

        self.clock.later(_RESTART, started)

    def tell(self, what: str) -> None:
        """Say what happened, if somebody listens."""
        if self._tell:
            self._tell(f"{self.id} {what}")

    def changed(self) -> None:
        """Wake those who wait until something is so."""
        for change in self._changes:
            change.set()

    def _come_further(self, sent: Sent, status: str) -> None:
        self.happen(notifications.status(self.whose, sent.id_message, sent.chat, status))


def _described(raw: bytes) -> str:
    """Return what a notification is, for one line."""
    body = parse(raw)
    if isinstance(body, Problem):
        return "no JSON"
    message, people = body.get("messageData"), body.get("senderData")
    kind = message.get("typeMessage") if isinstance(message, dict) else None
    chat = people.get("chatId") if isinstance(people, dict) else None
    about = (
        kind,
        body.get("status"),
        body.get("stateInstance"),
        chat or body.get("chatId") or body.get("from"),
    )
    return " ".join(str(word) for word in (body.get("typeWebhook"), *about) if word)

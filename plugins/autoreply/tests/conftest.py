"""A stand-in of the router around the handler, until there is a harness."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from router_autoreply import Autoreply, Options

from router import Context, Delivery, Event, State, clock, samples
from router.events import JsonObject, Transport
from router.normalize import normalize
from router.options import describe

#: A Tuesday.
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Crash(Exception):
    """The process ends here."""


class Talk:
    """Messages to a route with the handler, and what it replies."""

    def __init__(self, options: Options) -> None:
        self.now = START
        self.handler = Autoreply(options)
        self.values: dict[tuple[str, str], tuple[str, datetime | None]] = {}
        self.outbox: dict[tuple[int, int], str] = {}
        #: Text and whether it quotes, of all that was sent.
        self.sent: list[tuple[str, bool]] = []
        self.withheld = False
        #: How many more steps are done before the process ends; `None`: it goes on.
        self.steps: int | None = None
        self._ids = itertools.count(1)
        self._last: tuple[Event, int]

    async def say(self, text: str, **fields: Any) -> str | None:
        """Let a person write, and return what is replied to it."""
        return await self.handle(message(text, **fields))

    async def vote(self, option: str) -> str | None:
        """Let a person vote in a poll, and return what is replied to it."""
        body = json.loads(samples.read("incomingMessageReceived/wa-poll-update.json"))
        for vote in body["messageData"]["pollMessageData"]["votes"]:
            vote["optionName"] = option if vote["optionVoters"] else "Other"
        return await self.handle(_event(body))

    async def handle(self, event: Event) -> str | None:
        """Handle an event in a delivery of its own."""
        self._last = event, next(self._ids)
        return await self.again()

    async def again(self) -> str | None:
        """Run the handler once more for the last delivery, and return what it sends now."""
        event, delivery = self._last
        before = len(self.sent)
        await self.handler(event, StandIn(self, event, delivery))
        replies = [text for text, _ in self.sent[before:]]
        assert len(replies) < 2
        return replies[0] if replies else None

    def advance(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def step(self) -> None:
        """Do something that lasts."""
        if self.steps is not None:
            if self.steps == 0:
                raise Crash
            self.steps -= 1


class StandIn(Context):
    """Of one attempt."""

    def __init__(self, talk: Talk, event: Event, delivery: int) -> None:
        super().__init__(Delivery(id=delivery, event=event.id, route="r", handler="autoreply", attempt=1), {})
        self._talk = talk
        self._state = Remembered(talk, f"{event.instance}/{event.chat}")
        self._count = 0

    @property
    def state(self) -> State:
        return self._state

    async def reply(self, text: str, *, quote: bool = False, always: bool = False) -> str | None:
        if self._talk.withheld:
            return None
        place = (self.delivery.id, self._count)
        self._count += 1
        if place not in self._talk.outbox:
            self._talk.step()
            self._talk.outbox[place] = f"id{place}"
            self._talk.sent.append((text, quote))
        return self._talk.outbox[place]


class Remembered(State):
    """JSON values of a chat."""

    def __init__(self, talk: Talk, chat: str) -> None:
        self._talk = talk
        self._chat = chat

    async def get(self, key: str, default: Any = None) -> Any:
        value, end = self._talk.values.get((self._chat, key), ("", self._talk.now))
        return default if end is not None and end <= self._talk.now else json.loads(value)

    async def set(self, key: str, value: Any, *, ttl: float | None = None) -> None:
        assert ttl is None or ttl > 0
        self._talk.step()
        end = None if ttl is None else self._talk.now + timedelta(seconds=ttl)
        self._talk.values[self._chat, key] = json.dumps(value), end


def message(
    text: str, *, sample: str = "wa-text-waba", chat: str = "", sender: str = "", **fields: Any
) -> Event:
    """Make a message of a person."""
    body = json.loads(samples.read(f"incomingMessageReceived/{sample}.json"))
    about = body["senderData"]
    about["chatId"] = chat or about["chatId"]
    about["sender"] = sender or about["sender"]
    about.update(fields)
    body["messageData"] = {"typeMessage": "textMessage", "textMessageData": {"textMessage": text}}
    return _event(body)


def _event(body: JsonObject) -> Event:
    return normalize(body, id="e1", received_at=START, transport=Transport.WEBHOOK)


def options(text: str) -> Options:
    """Read options as they stand in ``routes.yaml``.

    Raises:
        ValueError: What is wrong with them.
    """
    described = describe(Options)
    given = yaml.load(text, Loader=yaml.BaseLoader)
    given = _typed(given)
    for error in Draft202012Validator(described.schema or {}).iter_errors(given):
        raise ValueError(f"{error.json_path}: {error.message}")
    made: Options = described.make(given)
    return made


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    return {"true": True, "false": False}.get(value, value)


@pytest.fixture
def talk() -> Iterator[Callable[[str], Talk]]:
    """Return what starts a talk with a route that has these options; its clock is the router's."""
    talks: list[Talk] = []

    def start(text: str) -> Talk:
        talks.append(Talk(options(text)))
        return talks[-1]

    with clock.taken_from(lambda: talks[-1].now, time.monotonic):
        yield start


@pytest.fixture(name="options")
def read_options() -> Callable[[str], Options]:
    """Return what reads options."""
    return options

"""The notification that a new plugin is tested with, and the route that takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from router import clock
from router.errors import NotMade
from router.events import Event, EventStatus, JsonObject, Problem, Transport
from router.inbox import EventRecord
from router.jsontext import dump, parse
from router.masking import mask_chat, masked, stars
from router.normalize import normalize
from router.replies import why_withheld

#: A word for a machine at the beginning of a text. Without a longer number it says nothing of a person.
_COMMAND = re.compile(r"/(?!\S*\d{5})[A-Za-z][A-Za-z0-9_]{0,31}(?!\S)", re.ASCII)
#: The chat of WhatsApp statuses is the same for everybody.
_STATUSES = "status@broadcast"
#: What YAML reads as text without quotes.
_PLAIN = re.compile(r"(?!(?:true|false|null)$)/?[A-Za-z][A-Za-z0-9_]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sample:
    """A notification, as the event that it becomes."""

    event: Event

    @classmethod
    def of_body(cls, body: bytes) -> Self:
        """Read the notification of the template."""
        data = parse(body)
        assert not isinstance(data, Problem), "it is tested"
        return cls(_read(data))

    @classmethod
    def of_record(cls, record: EventRecord) -> Self:
        """Take a stored event, without personal data.

        Raises:
            NotMade: No handler would get the event, or it is another one without personal data.
        """
        data = parse(record.body)
        if isinstance(data, Problem) or record.status is EventStatus.INVALID:
            raise NotMade(
                f"event {record.id} is invalid, so no handler gets it: see 'router events show {record.id}'"
            )
        event = _read(_complete(data, record.instance))
        sample = cls(_read(_without_personal_data(event.data, event.text)))
        sample._check(event, record.id)
        return sample

    @property
    def json(self) -> str:
        """The notification, for a file."""
        return f"{dump(self.event.data, indent=True)}\n"

    @property
    def type(self) -> str:
        """``type`` of a route that takes it, as YAML."""
        return _yaml(self.event.type or "*")

    @property
    def when(self) -> str | None:
        """``when`` of a route that takes it and what is alike, as YAML; ``None``: its type says enough."""
        if self.event.text is not None and (command := _COMMAND.match(self.event.text)):
            return f"{{text: [{{prefix: {_yaml(command[0])}}}]}}"
        if self.event.message_type is not None:
            return f"{{message_type: [{_yaml(self.event.message_type)}]}}"
        return None

    @property
    def is_answered(self) -> bool:
        """Whether a reply to it would be sent."""
        return self.event.chat is not None and why_withheld(self.event) is None

    def _check(self, original: Event, id_: str) -> None:
        """Hold that it is still what it was."""
        for name in ("type", "message_type", "instance"):
            found, was = getattr(self.event, name), getattr(original, name)
            if found != was:
                raise NotMade(
                    f"event {id_}: its {name} {was!r} looks like personal data, so it cannot be shown"
                )
        if self.is_answered and self.event.instance is None:
            raise NotMade(f"event {id_} names no instance, so nobody can reply to it")


def _read(data: JsonObject) -> Event:
    return normalize(data, id="0", received_at=clock.now(), transport=Transport.WEBHOOK)


def _complete(data: JsonObject, instance: int | None) -> JsonObject:
    """Return the body with the instance that was polled, if it names none."""
    account = data.get("instanceData", {})
    if instance is None or _read(data).instance is not None or not isinstance(account, dict):
        return data
    return {**data, "instanceData": {**account, "idInstance": instance}}


def _yaml(word: str) -> str:
    return word if _PLAIN.fullmatch(word) else dump(word)


# Without personal data


def _without_personal_data(data: JsonObject, text: str | None) -> JsonObject:
    """Return a body like this one: the same person has the same number in it, and none is anybody's."""

    def hide_text(value: str) -> str:
        return _hidden(value) if value == text else stars(value)

    return masked(data, hide_chat=_Numbers(), hide_text=hide_text)


def _hidden(text: str) -> str:
    """Hide a text but for the command with which it begins."""
    command = _COMMAND.match(text)
    return f"{command[0]} {stars(text[command.end() + 1 :])}".rstrip() if command else stars(text)


class _Numbers:
    """Gives chat ids other numbers, each its own, so that who is the same and who is not stays as it was."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def __call__(self, chat: str) -> str:
        """Return another chat id of the same kind and length; no telephone has its number."""
        if chat in ("", _STATUSES):
            return chat
        sign, number, kind = _parts(chat)
        given = self._given.setdefault(number, str(len(self._given) + 1))
        return f"{sign}1{given.rjust(len(number) - 1, '0')}{kind}"


def _parts(chat: str) -> tuple[str, str, str]:
    """Return sign, number and kind of a chat id."""
    _, at, kind = mask_chat(chat).partition("@")
    sign = "-" if chat.startswith("-") else ""
    return sign, chat.removeprefix("-").removesuffix(f"{at}{kind}"), f"{at}{kind}"

"""What is answered to what was said. Pure: the same input gives the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from router_autoreply.hours import Week
from router_autoreply.menus import Menus, Move, Path
from router_autoreply.options import EVENT_NAMES, Options, Rule
from router_autoreply.patterns import Find
from router_autoreply.said import Said
from router_autoreply.templates import Template, parse

#: Characters of a message by messenger; GREEN-API refuses more.
_LONGEST = {"telegram": 4096, "max": 4000}
_LONGEST_ELSEWHERE = 20_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, and what is to be remembered with it."""

    #: What made it: ``rule 1``, ``default``, ``closed``, ``menu``.
    source: str
    text: str
    quote: bool
    #: Seconds in which its source gives no other answer in the chat.
    cooldown: float
    #: Which menus are open then.
    path: Path


@dataclass(frozen=True, slots=True)
class _Reply:
    """What one source answers: a text, or a menu."""

    source: str
    template: Template
    menu: str | None
    quote: bool
    cooldown: float


@dataclass(frozen=True, slots=True)
class _Rule:
    find: Find
    reply: _Reply


class Answers:
    """The options of a route, ready for use."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._menus = Menus(options, EVENT_NAMES)
        self._rules = [self._rule(number, rule) for number, rule in enumerate(options.rules, 1)]
        self._default = self._default_reply()
        self._week: Week | None = options.hours.week() if options.hours else None
        self._closed = self._closed_reply()

    def to(self, said: Said, moment: datetime, path: Path) -> Answer | None:
        """Return the answer, or ``None`` if there is none.

        Args:
            said: By a person.
            moment: With a time zone.
            path: The menus that are open for the person.
        """
        path = self._menus.known(path)
        if self._week is not None and not self._week.has(moment):
            return self._unasked(self._closed, said, path)
        if path and (move := self._menus.answered(path, said.folded)):
            return self._moved(move, said)
        for rule in self._rules:
            if (found := rule.find(said)) is not None:
                return self._replied(rule.reply, {**said.values, **found}, path)
        if path:
            return None if said.is_vote else self._moved(self._menus.reminded(path), said)
        return self._unasked(self._default, said, path)

    def _unasked(self, reply: _Reply | None, said: Said, path: Path) -> Answer | None:
        """Answer what fits nothing; a vote is no message that would expect it."""
        return None if reply is None or said.is_vote else self._replied(reply, said.values, path)

    def _replied(self, reply: _Reply, values: Mapping[str, str], path: Path) -> Answer:
        move = Move(reply.template, path) if reply.menu is None else self._menus.opened(reply.menu)
        text = _sendable(move.text.fill(values), values)
        return Answer(reply.source, text, reply.quote, reply.cooldown, move.path)

    def _moved(self, move: Move, said: Said) -> Answer:
        text = _sendable(move.text.fill(said.values), said.values)
        return Answer("menu", text, self._options.quote, 0, move.path)

    # Options

    def _rule(self, number: int, rule: Rule) -> _Rule:
        find, names = rule.listen()
        template = parse(rule.reply or "", names)
        quote, cooldown = self._or_common(rule.quote, rule.cooldown)
        return _Rule(find, _Reply(f"rule {number}", template, rule.menu, quote, cooldown))

    def _default_reply(self) -> _Reply | None:
        options = self._options
        if options.reply is None and options.menu is None:
            return None
        template = parse(options.reply or "", EVENT_NAMES)
        return _Reply("default", template, options.menu, options.quote, options.cooldown)

    def _closed_reply(self) -> _Reply | None:
        hours = self._options.hours
        if hours is None or hours.reply is None:
            return None
        quote, cooldown = self._or_common(hours.quote, hours.cooldown)
        return _Reply("closed", parse(hours.reply, EVENT_NAMES), None, quote, cooldown)

    def _or_common(self, quote: bool | None, cooldown: float | None) -> tuple[bool, float]:
        common = self._options
        return (
            common.quote if quote is None else quote,
            common.cooldown if cooldown is None else cooldown,
        )


def _sendable(text: str, values: Mapping[str, str]) -> str:
    """Return a text that the messenger takes: not too long."""
    longest = _LONGEST.get(values.get("event.messenger", ""), _LONGEST_ELSEWHERE)
    text = text.strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"

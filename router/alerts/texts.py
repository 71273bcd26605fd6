"""What an alert says to a person. Nothing that the log may not show gets into it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import orjson

from router.events import Alert, AlertKind, JsonObject, Report
from router.jsontext import dump, harmless
from router.masking import HIDING
from router.redaction import Redactor

#: Characters of a subject, and of the JSON of a fact, that are shown.
_LONGEST_SUBJECT: Final = 200
_LONGEST_FACT: Final = 4_000


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    #: What to do about it.
    advice: str
    #: The command that shows more.
    command: str
    #: Its option that takes the subject.
    option: str | None = None


_WORDS: Final = {
    AlertKind.UNKNOWN_TYPE: _Words(
        "Unknown type of notification",
        "It is kept. Give the type a route in routes.yaml, then deliver what came with router events replay.",
        "router events list --status unknown",
        "--type",
    ),
    AlertKind.INVALID: _Words(
        "Invalid notification",
        "It is kept. If GREEN-API has changed its format, mend the schema, then router events replay.",
        "router events list --status invalid",
    ),
    AlertKind.DEAD: _Words(
        "Dead letter on route",
        "Mend the cause, then deliver it again with router dead retry.",
        "router dead list",
        "--route",
    ),
    AlertKind.INBOX_UNAVAILABLE: _Words(
        "Cannot be written",
        "Look at the disk of the inbox. GREEN-API was answered 503 and sends again what came meanwhile.",
        "router events list --limit 1",
    ),
    AlertKind.INSTANCE_DOWN: _Words(
        "Cannot be polled: instance",
        "Its notifications wait in GREEN-API's queue, for 24 hours.",
        "router instances doctor",
        "--instance",
    ),
    AlertKind.INSTANCE_STATE: _Words(
        "Not authorized: instance",
        "Authorize it in GREEN-API's console; until then nothing comes and nothing can be sent.",
        "router instances doctor",
        "--instance",
    ),
    AlertKind.QUIET: _Words(
        "Nothing comes from instance",
        "Look whether anybody writes to it, and whether its settings are as they should be.",
        "router instances doctor",
        "--instance",
    ),
    AlertKind.PLUGIN_FAILED: _Words(
        "The router runs without plugin",
        "Mend or remove the plugin, then start the router again.",
        "router plugins",
    ),
}


class Composer:
    """Makes alerts of reports.

    Args:
        notification: ``logging.notification``: ``full``, ``masked`` or ``none``.
        redact: Takes secrets out.
    """

    def __init__(self, notification: str, redact: Redactor) -> None:
        self._hide = HIDING[notification]
        self._redact = redact

    def __call__(self, report: Report, since_last: int) -> Alert:
        """Return the alert.

        Args:
            since_last: How often it has happened since the last message about it.
        """
        subject = _one_line(self._redact(report.subject))
        facts = self._shown(report.facts)
        return Alert(
            id=uuid4().hex,
            kind=report.kind,
            subject=subject,
            count=report.count,
            since_last=since_last,
            first_at=report.first_at,
            last_at=report.last_at,
            is_recovered=report.is_recovered,
            facts=facts,
            title=_title(report, subject),
            text=_text(report, subject, since_last, facts),
        )

    def _shown(self, facts: JsonObject) -> JsonObject:
        shown = dict(facts)
        if self._hide is not None:
            self._hide(shown)
        return {name: _fact(value, self._redact) for name, value in shown.items() if value is not None}


def _fact(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a value without secrets; as text where it is long, or where a number in it was one."""
    text = redact(value if isinstance(value, str) else dump(value))
    if len(text) > _LONGEST_FACT:
        return f"{text[:_LONGEST_FACT]}… ({len(text)} characters)"
    if isinstance(value, str):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _title(report: Report, subject: str) -> str:
    title = f"{_WORDS[report.kind].title}: {subject}"
    return f"Over: {title}" if report.is_recovered else title


def _text(report: Report, subject: str, since_last: int, facts: JsonObject) -> str:
    happened = _happened(report, since_last)
    if report.is_recovered:
        return f"It is over.\n{happened}"
    words = _WORDS[report.kind]
    option = f" {words.option} {shlex.quote(subject)}" if words.option and not report.is_many else ""
    lines = [happened, words.advice, f"To look: {words.command}{option}"]
    if facts:
        lines += ["", "The first of these:" if since_last > 1 else "What is known:"]
        lines += [f"{name}: {_shown_fact(value)}" for name, value in facts.items()]
    return "\n".join(lines)


def _happened(report: Report, since_last: int) -> str:
    if report.count == 1:
        return f"It happened once, at {_moment(report.first_at)}."
    between = f"between {_moment(report.first_at)} and {_moment(report.last_at)}"
    told = f", {since_last:,} times since the last message" if since_last < report.count else ""
    return f"It happened {report.count:,} times {between}{told}."


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _shown_fact(value: Any) -> str:
    return harmless(value if isinstance(value, str) else dump(value))


def _one_line(subject: str) -> str:
    text = harmless(" ".join(subject.split()))
    return text if len(text) <= _LONGEST_SUBJECT else f"{text[:_LONGEST_SUBJECT]}…"

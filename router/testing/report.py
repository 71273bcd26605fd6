"""What the router did in a test, in words: shown where an assertion fails."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from textwrap import indent
from types import FrameType
from typing import Any, Self

from router import clock
from router.events import DeliveryStatus, Event, JsonObject, Problem, Receipt, ReceiptStatus, Transport
from router.inbox import Claim, DeliveryRecord
from router.jsontext import dump, parse
from router.normalize import normalize
from router.routing import Table
from router.testing.recording import Failed, RecordingGreenApi, Sent
from router.validation import Validator

#: Levels of log lines that are shown; the others say what is shown anyway.
_SHOWN = {"WARNING", "ERROR", "CRITICAL"}
#: Lines of the log that are shown at most, and characters of a value.
_LINES = 20
_LONGEST = 200
#: What the machine did, or the test: the event loop stood still, and no handler is to blame.
_NOBODYS = {"loop.blocking", "loop.freed"}
#: Fields of a log line that say what is shown anyway.
_LEFT_OUT = {"timestamp", "level", "event", "notification", "exception", "transport", "handler", "delivery"}
_LEFT_OUT |= {"event_id", "typeWebhook", "idInstance", "chatId", "idMessage"}
_OURS = {"router", "asyncio", "anyio", "threading", "queue"}

Work = tuple[asyncio.Task[object], Claim]


@dataclass(frozen=True, slots=True)
class Received:
    """A notification that came in, and what became of it."""

    event: Event
    problems: Sequence[Problem]
    receipt: Receipt

    @classmethod
    def read(cls, body: bytes, receipt: Receipt, transport: Transport) -> Self:
        """Read a body as the router does."""
        data = parse(body)
        problems = [data] if isinstance(data, Problem) else Validator().problems(data)
        known = data if isinstance(data, dict) else {}
        event = normalize(known, id=receipt.event_id, received_at=clock.now(), transport=transport)
        return cls(event, problems, receipt)


def written(
    received: Iterable[Received],
    table: Table,
    deliveries: Iterable[DeliveryRecord],
    works: Iterable[Work],
    api: RecordingGreenApi,
    logs: Iterable[JsonObject],
    now: datetime,
) -> str:
    """Return all of it: a heading for each thing there is, and below it a line for each."""
    sections = {
        "came in": [line for each in received for line in _received(each, table)],
        "deliveries": [line for each in deliveries for line in _delivery(each, now)],
        "still running": at_work(works),
        "sent": [call(sent) for sent in api.sent],
        "not sent": [f"{call(failed)}: {failed.error}" for failed in api.failed],
        "log": [_line(line) for line in logs if _is_shown(line)][-_LINES:],
    }
    parts = (f"{name}:\n{indent(chr(10).join(lines), '  ')}" for name, lines in sections.items() if lines)
    return "\n".join(parts) or "nothing came in"


def call(sent: Sent | Failed) -> str:
    """Return a call of GREEN-API in one line."""
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in sent.arguments.items())
    return f"{sent.method}({arguments})"


def at_work(works: Iterable[Work]) -> list[str]:
    """Return a line for each handler that runs: its route, and where it is."""
    return [f"{claim.route}, attempt {claim.attempt}: {_place(task, claim)}" for task, claim in works]


def _received(each: Received, table: Table) -> Iterator[str]:
    event, status = each.event, each.receipt.status
    said = [event.type or "no type", event.message_type, event.text and _short(event.text)]
    chat = f" in {event.chat}" if event.chat else ""
    yield f"{' '.join(filter(None, said))}{chat}: {status.value}"
    if status is ReceiptStatus.INVALID:
        yield from (f"  {problem.path}: {problem.message}" for problem in each.problems)
    else:
        yield from (f"  route {why.route}: {why.reason}" for why in table.explain(event))


def _delivery(record: DeliveryRecord, now: datetime) -> Iterator[str]:
    attempts = "1 attempt" if record.attempts == 1 else f"{record.attempts} attempts"
    waits = record.due_at if record.status is DeliveryStatus.PENDING else None
    due = f", next in {(waits - now).total_seconds():g} s" if waits else ""
    error = f": {record.error}" if record.error else ""
    yield f"{record.route}: {record.status.value}, {attempts}{due}{error}"
    last = record.history[-1] if record.history else None
    if last is not None and last.traceback:
        yield indent(last.traceback.rstrip(), "  ")


def _is_shown(line: JsonObject) -> bool:
    return line["level"] in _SHOWN and line["event"] not in _NOBODYS


def _line(line: JsonObject) -> str:
    facts = [
        f"{name}={_short(value)}"
        for name, value in line.items()
        if name not in _LEFT_OUT and value is not None
    ]
    return " ".join([line["level"], str(line["event"]), *facts])


def _short(value: Any) -> str:
    text = dump(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


# Where a handler is


def _place(task: asyncio.Task[object], claim: Claim) -> str:
    """Return the innermost line that is the plugin's, in the task or in a thread of the route."""
    frames = [*filter(_is_theirs, _frames(task.get_coro()))]
    frames = frames or [*filter(_is_theirs, _frames_of_threads(f"route-{claim.route}-"))]
    if not frames:
        return "between two steps"
    frame = frames[-1]
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _is_theirs(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] not in _OURS


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine that waits, outermost first."""
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        yield frame
        awaited = awaited.cr_await


def _frames_of_threads(name: str) -> Iterator[FrameType]:
    """Yield the frames of the threads of that name, outermost first."""
    for thread in threading.enumerate():
        frame = sys._current_frames().get(thread.ident or 0) if thread.name.startswith(name) else None
        frames = []
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        yield from reversed(frames)

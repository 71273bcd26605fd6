"""The left half: body → parse → validate → normalize → match → inbox → receipt.

Both transports end in `Intake.receive`. Whatever comes in gets a receipt; only an inbox that cannot
be written raises.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from hashlib import blake2b
from random import getrandbits
from typing import Any, NoReturn

import structlog
from anyio import move_on_after

from router import clock
from router.alerts import Alerts
from router.errors import InboxUnavailable, NotHandled
from router.events import AlertKind, Event, EventStatus, Problem, Receipt, ReceiptStatus, Transport
from router.inbox import Duplicate, Entry, Handled, Inbox, NewDelivery, Stored
from router.jsontext import dump, parse
from router.normalize import content_hash, dedup_key, normalize
from router.presence import Presence
from router.routing import Route, Table
from router.validation import Validator

_log = structlog.get_logger("router.intake")

#: Longest ``typeWebhook`` that is shown in full.
_SHOWN_TYPE = 100
#: What the schema of ``routes.yaml`` does not allow in the name of a route.
_NOT_IN_A_NAME = re.compile(r"[\s/\x00-\x1f\x7f]+")
_LONGEST_NAME = 64


class Intake:
    """Takes notifications in.

    Args:
        inbox: Where events are stored.
        validator: Knows the types of the catalogue and their schemas.
        table: The routes.
        alerts: Told of unknown types, invalid notifications and an inbox that cannot be written.
        presence: Told of every event, for it shows that its instance is there.
        ack_deadline: Seconds to wait for the handlers before a receipt is given; ``None``: none.
        keep_unrouted: Store events of known types that no route wants, too.
    """

    def __init__(
        self,
        inbox: Inbox,
        validator: Validator,
        table: Table,
        alerts: Alerts,
        presence: Presence,
        *,
        ack_deadline: float | None = None,
        keep_unrouted: bool = False,
    ) -> None:
        self._inbox = inbox
        self._validator = validator
        self._table = table
        self._alerts = alerts
        self._presence = presence
        self._ack_deadline = ack_deadline
        self._keep_unrouted = keep_unrouted

    async def receive(self, body: bytes, transport: Transport, instance: int | None = None) -> Receipt:
        """Store one notification, and say what became of it.

        Args:
            body: The notification as it came: any bytes at all.
            transport: How it came.
            instance: The instance it came from, where the transport knows; a body may not name it.

        Raises:
            InboxUnavailable: Nothing was stored; GREEN-API has to send it again.
            NotHandled: A handler failed and the inbox does not keep what failed; likewise.
        """
        data = parse(body)
        problems = [data] if isinstance(data, Problem) else self._validator.problems(data)
        event = normalize(
            data if isinstance(data, dict) else {},
            id=new_id(),
            received_at=clock.now(),
            transport=transport,
            instance=instance,
        )
        self._presence.heard(event)
        if problems:
            return await self._keep_invalid(event, body, problems)
        routes = self._table.match(event)
        if routes:
            return await self._accept(event, body, routes)
        if self._is_known(event):
            return await self._pass_over(event, body)
        return await self._keep_unknown(event, body)

    async def _accept(self, event: Event, body: bytes, routes: Sequence[Route]) -> Receipt:
        deliveries = [NewDelivery(route.name, route.lane(event)) for route in routes]
        entry = Entry(
            event=event,
            status=EventStatus.ACCEPTED,
            key=dedup_key(event),
            body=body,
            deliveries=deliveries,
            awaited=self._ack_deadline is not None,
        )
        result = await self._put(entry)
        if isinstance(result, Duplicate):
            receipt = self._duplicate(entry, result)
        else:
            receipt = Receipt(ReceiptStatus.ACCEPTED, event.id)
            if result.changed is not None:
                self._report_changed(entry, result.changed)
            _log.info("notification.accepted", routes=[route.name for route in routes], **_facts(event, body))
            if not self._is_known(event):  # only a route for all types took it
                self._report_unknown(event, body)
        if result.handled is not None:
            await self._wait_for(result.handled)
        return receipt

    async def _wait_for(self, handled: Handled) -> None:
        """Wait until the handlers have run, or the deadline has passed."""
        with move_on_after(self._ack_deadline):
            if not await handled:
                raise NotHandled("a handler failed, and nothing but GREEN-API's queue keeps the notification")

    async def _pass_over(self, event: Event, body: bytes) -> Receipt:
        if self._keep_unrouted:
            entry = Entry(event=event, status=EventStatus.UNROUTED, key=dedup_key(event), body=body)
            if duplicate := await self._store(entry):
                return duplicate
        _log.debug("notification.unrouted", **_facts(event, body))
        return Receipt(ReceiptStatus.UNROUTED, event.id)

    async def _keep_unknown(self, event: Event, body: bytes) -> Receipt:
        entry = Entry(event=event, status=EventStatus.UNKNOWN, key=dedup_key(event), body=body)
        if duplicate := await self._store(entry):
            return duplicate
        self._report_unknown(event, body)
        return Receipt(ReceiptStatus.UNKNOWN, event.id)

    def _report_unknown(self, event: Event, body: bytes) -> None:
        shown = str(_shown_type(event))
        suggestion = _ready_to_paste(shown, self._table)
        _log.warning("notification.unknown_type", suggested_route=suggestion, **_facts(event, body))
        self._alerts.report(AlertKind.UNKNOWN_TYPE, shown, **_facts(event, body))

    async def _keep_invalid(self, event: Event, body: bytes, problems: Sequence[Problem]) -> Receipt:
        # Identified by its content: a mended notification with the same idMessage is another one.
        entry = Entry(
            event=event,
            status=EventStatus.INVALID,
            key=_invalid_key(event, body),
            body=body,
            problems=problems,
        )
        if duplicate := await self._store(entry):
            return duplicate
        listed = [{"path": p.path, "rule": p.rule, "message": p.message} for p in problems]
        _log.error("notification.invalid", problems=listed, **_facts(event, body))
        subject = f"{event.type or 'no type'}: {problems[0].path} {problems[0].rule}"
        self._alerts.report(AlertKind.INVALID, subject, problems=listed, **_facts(event, body))
        return Receipt(ReceiptStatus.INVALID, event.id)

    async def _store(self, entry: Entry) -> Receipt | None:
        """Commit the entry; return the receipt of a duplicate, if it is one."""
        result = await self._put(entry)
        return self._duplicate(entry, result) if isinstance(result, Duplicate) else None

    async def _put(self, entry: Entry) -> Stored | Duplicate:
        try:
            result = await self._inbox.put(entry)
        except InboxUnavailable as exc:
            self._cannot_store(entry, exc)
        self._alerts.recover(AlertKind.INBOX_UNAVAILABLE, "inbox")
        return result

    def _duplicate(self, entry: Entry, result: Duplicate) -> Receipt:
        if result.changed:
            self._report_changed(entry, result.event_id)
        else:
            _log.debug(
                "notification.duplicate", first_event_id=result.event_id, **_facts(entry.event, entry.body)
            )
        return Receipt(ReceiptStatus.DUPLICATE, result.event_id)

    def _report_changed(self, entry: Entry, first_event_id: str) -> None:
        _log.info("notification.changed", first_event_id=first_event_id, **_facts(entry.event, entry.body))

    def _cannot_store(self, entry: Entry, exc: InboxUnavailable) -> NoReturn:
        _log.error("inbox.unavailable", error=str(exc), **_facts(entry.event, entry.body))
        self._alerts.report(AlertKind.INBOX_UNAVAILABLE, "inbox", error=str(exc))
        raise exc

    def _is_known(self, event: Event) -> bool:
        return event.type is not None and (
            self._validator.knows(event.type) or self._table.names_type(event.type)
        )


def new_id() -> str:
    """Return a UUID of version 7 (RFC 9562, section 5.7): ids sort by the time they were made."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | 0x7 << 76 | getrandbits(12) << 64 | 0b10 << 62 | getrandbits(62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _invalid_key(event: Event, body: bytes) -> str:
    content = content_hash(event.data) if event.data else blake2b(body, digest_size=16).hexdigest()
    return f"{event.instance or '-'}|{event.type or ''}|invalid#{content}"


def _shown_type(event: Event) -> str | None:
    """Return ``typeWebhook`` for a person to read, cut where it is absurdly long."""
    value = event.data.get("typeWebhook")
    if not isinstance(value, str):
        return None
    return value if len(value) <= _SHOWN_TYPE else f"{value[:_SHOWN_TYPE]}…"


def _ready_to_paste(type_: str, table: Table) -> str:
    """Return a route for ``routes.yaml`` that would take this type from now on."""
    name = _NOT_IN_A_NAME.sub("-", type_)[:_LONGEST_NAME]
    lines = [f"name: {_quoted(name)}", f"type: {_quoted(type_)}"]
    if table.routes:  # what is installed here for certain: the first route's handler, with its options
        lines.append(f"handler: {table.routes[0].handler}")
        if table.routes[0].options:
            lines.append(f"options: {dump(dict(table.routes[0].options))}")
    return "  - " + "\n    ".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _facts(event: Event, body: bytes) -> dict[str, Any]:
    """Return the fields that every record about a notification has."""
    return {
        "typeWebhook": _shown_type(event),
        "idInstance": event.instance,
        "chatId": event.chat,
        "idMessage": event.id_message,
        "transport": event.transport.value,
        "event_id": event.id,
        "notification": event.data or body.decode("utf-8", "replace"),
    }

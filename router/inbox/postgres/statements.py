"""The statements of the writer, and the values they are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from psycopg.types.json import Jsonb

from router.inbox import Attempt, Claim, Dead, Done, Retry
from router.inbox.keys import key_hash
from router.inbox.postgres.requests import LaneName, LetGo, Put, Settle
from router.inbox.problems import dump_problems

#: Bytes of bodies after which a page ends, however many deliveries were asked for.
PAGE_BYTES = 2**18

_WRITE_TYPES: Final = {
    "e_id": "text",
    "e_key": "bytea",
    "e_type": "text",
    "e_instance": "bigint",
    "e_chat": "text",
    "e_status": "text",
    "e_transport": "text",
    "e_received_at": "timestamptz",
    "e_problems": "text",
    "e_body": "bytea",
    "d_event": "integer",
    "d_route": "text",
    "d_lane": "text",
    "d_wanted": "boolean",
    "s_id": "bigint",
    "s_attempts": "integer",
    "s_started_at": "timestamptz",
    "s_duration": "double precision",
    "s_plugin": "text",
    "s_settled_at": "timestamptz",
    "r_route": "text",
    "r_lane": "text",
    "r_last": "bigint",
}
_PLACES = ", ".join(f"%({name}){'b' if of == 'bytea' else 's'}::{of}[]" for name, of in _WRITE_TYPES.items())
# Plans that were made while a table was small are still good when it is large.
PLAN_BY_INDEX: Final = "SET enable_seqscan = off; SET jit = off"
WRITE: Final = f"SELECT seqs, ids, owners, previous_ones, kept FROM write(%(me)s::bigint, {_PLACES})"
FAIL: Final = "SELECT fail(%s, %s)"
# The status is an expression in what goes by id: see ``write`` in the migrations.
START: Final = """
UPDATE deliveries SET status = 'running', running_since = s.since
FROM hold_lease(%s), unnest(%s::bigint[], %s::timestamptz[]) AS s (id, since)
WHERE deliveries.id = s.id AND status || '' = 'pending'"""
RELEASE: Final = """
UPDATE deliveries SET status = 'pending' FROM hold_lease(%s)
WHERE id = ANY(%s::bigint[]) AND status || '' = 'running'"""
GIVE_BACK: Final = """
UPDATE lanes SET owner = NULL, free_since = clock_timestamp()
FROM (SELECT route, lane FROM lanes JOIN unnest(%s::text[], %s::text[]) AS given (route, lane)
          USING (route, lane)
      WHERE owner = %s ORDER BY route, lane FOR UPDATE OF lanes) AS mine
WHERE lanes.route = mine.route AND lanes.lane = mine.lane"""
ANNOUNCE: Final = "SELECT pg_notify('router_free', '')"
DISCOVER: Final = """
WITH free AS MATERIALIZED (
    SELECT route, lane FROM lanes WHERE owner IS NULL AND route = %(route)s
    ORDER BY free_since LIMIT %(most)s FOR UPDATE SKIP LOCKED)
UPDATE lanes SET owner = %(me)s, free_since = NULL FROM hold_lease(%(me)s), free
WHERE lanes.route = free.route AND lanes.lane = free.lane AND lanes.owner IS NULL
RETURNING lanes.lane"""
# What is shown as running is of an earlier run: of a lane that is read nothing runs.
LOAD: Final = """
SELECT lanes.route, lanes.lane, lanes.last, lanes.careful_until, page.*
FROM unnest(%(routes)s::text[], %(lanes)s::text[], %(most)s::integer[]) AS asked (route, lane, most)
JOIN lanes ON lanes.route = asked.route AND lanes.lane = asked.lane AND lanes.owner = %(me)s
LEFT JOIN LATERAL (
    SELECT d.id, d.was_cut_off, d.attempts, d.round_attempts, d.blocked, d.due_at, d.delay,
           e.id AS event_id, e.instance, e.received_at, e.transport, e.body, count(*) OVER () AS found,
           sum(octet_length(e.body)) OVER (ORDER BY d.id) - octet_length(e.body) AS bytes_before
    FROM (SELECT * FROM deliveries
          WHERE route = lanes.route AND lane = lanes.lane AND status IN ('pending', 'running')
          ORDER BY id LIMIT asked.most) AS d
    JOIN events e ON e.seq = d.event
) AS page ON page.bytes_before < %(page_bytes)s
ORDER BY lanes.route, lanes.lane, page.id"""
FIND_KEYS: Final = "SELECT key, seq, id, received_at, body FROM events WHERE key = ANY(%b::bytea[])"
FORGET_KEYS: Final = """
UPDATE events SET key = NULL FROM unnest(%s::bigint[], %b::bytea[]) AS old (seq, key)
WHERE events.seq = old.seq AND events.key = old.key"""
COUNT_DUPLICATES: Final = """
UPDATE events SET duplicates = events.duplicates + again.duplicates, changed = events.changed + again.changed
FROM (SELECT seq, sum(duplicates) AS duplicates, sum(changed) AS changed
      FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) AS given (seq, duplicates, changed)
      GROUP BY seq ORDER BY seq) AS again
WHERE events.seq = again.seq RETURNING events.seq"""


def write_values(
    me: int, puts: Sequence[Put], wanted: Sequence[bool], settles: Sequence[Settle], left: Sequence[LetGo]
) -> dict[str, Any]:
    """Return the values of `WRITE`.

    Args:
        me: The replica.
        puts: Events to store.
        wanted: Whether a new lane would be taken, for each delivery of each event.
        settles: Of claims that are done.
        left: Lanes in which nothing is left.
    """
    deliveries = [(n, new) for n, put in enumerate(puts, 1) for new in put.entry.deliveries]
    done = [(one.claim.id, one.outcome.attempt, one.at) for one in settles if isinstance(one.outcome, Done)]
    columns = {
        **_event_columns(puts),
        "d_event": [n for n, _ in deliveries],
        "d_route": [new.route for _, new in deliveries],
        "d_lane": [new.lane for _, new in deliveries],
        "d_wanted": list(wanted),
        "s_id": [delivery_id for delivery_id, _, _ in done],
        "s_attempts": [attempt.number for _, attempt, _ in done],
        "s_started_at": [attempt.started_at for _, attempt, _ in done],
        "s_duration": [attempt.duration for _, attempt, _ in done],
        "s_plugin": [clean(attempt.plugin) for _, attempt, _ in done],
        "s_settled_at": [at for _, _, at in done],
        "r_route": [one.lane[0] for one in left],
        "r_lane": [one.lane[1] for one in left],
        "r_last": [one.last for one in left],
    }
    return {"me": me, **{name: array(_WRITE_TYPES[name], column) for name, column in columns.items()}}


def _event_columns(puts: Sequence[Put]) -> dict[str, list[Any]]:
    entries = [put.entry for put in puts]
    events = [entry.event for entry in entries]
    return {
        "e_id": [event.id for event in events],
        "e_key": [key_hash(put.key) for put in puts],
        "e_type": [event.type for event in events],
        "e_instance": [event.instance for event in events],
        "e_chat": [event.chat for event in events],
        "e_status": [entry.status.value for entry in entries],
        "e_transport": [event.transport.value for event in events],
        "e_received_at": [event.received_at for event in events],
        "e_problems": [clean(dump_problems(entry.problems)) for entry in entries],
        "e_body": [entry.body for entry in entries],
    }


def failures(settles: Iterable[Settle]) -> Jsonb:
    """Return the second value of `FAIL`: outcomes other than that it is done."""
    return Jsonb([_failure(settle) for settle in settles], dumps=orjson.dumps)


def _failure(settle: Settle) -> dict[str, Any]:
    claim, outcome = settle.claim, settle.outcome
    attempt = outcome.attempt
    of_attempt = {} if attempt is None else _attempt(attempt)
    if isinstance(outcome, Retry):
        return {"id": claim.id, **_retry(claim, outcome), "due_at": settle.due_at, **of_attempt}
    assert isinstance(outcome, Dead), "what is done is written elsewhere"
    return {
        "id": claim.id,
        "status": "dead",
        "attempts": attempt.number if attempt else claim.attempt - 1,
        "settled_at": settle.at,
        "error": clean(outcome.reason),
        **of_attempt,
    }


def _retry(claim: Claim, outcome: Retry) -> dict[str, Any]:
    attempt = outcome.attempt
    return {
        "status": "pending",
        "attempts": attempt.number,
        "round_attempts": claim.round_attempt,
        "blocked": claim.blocked + attempt.duration + outcome.delay,
        "delay": outcome.delay,
        "error": clean(attempt.error),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": attempt.started_at,
        "duration": attempt.duration,
        "outcome": attempt.outcome.value,
        "attempt_error": clean(attempt.error),
        "traceback": clean(attempt.traceback),
        "plugin": clean(attempt.plugin),
    }


def array(of: str, values: Sequence[Any]) -> Any:
    """Return values as the literal of an array: psycopg makes one of a list element by element.

    It is also of one type, while lists of small and of large integers are of two, and so are two statements.
    Bytes are left to psycopg, which sends them as they are.
    """
    match of:
        case "bytea":
            return values
        case "text":
            elements = ["NULL" if value is None else _quoted(value) for value in values]
        case _:
            elements = ["NULL" if value is None else str(value) for value in values]
    return f"{{{','.join(elements)}}}"


def _quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def clean(text: str | None) -> str | None:
    """Return a text as PostgreSQL can hold it: U+FFFD for NUL and for half a surrogate pair."""
    if text is None:
        return None
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def names(lanes: Sequence[LaneName]) -> tuple[list[str], list[str]]:
    """Return the routes and the order keys of lanes, as ``unnest`` takes them."""
    return [route for route, _ in lanes], [key for _, key in lanes]

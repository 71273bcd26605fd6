"""The changes that a person makes, within a transaction, and how the replicas are told of them.

Locks are taken in the order events by key, lanes by name, deliveries, as everywhere. What is new in a
lane gets a number that no replica knows as the last of it: whoever runs the lane reads it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from psycopg import Connection
from psycopg.errors import SerializationFailure
from psycopg.rows import TupleRow

from router.inbox import Entry, NewDelivery, Replay, Replayed
from router.inbox.keys import key_hash
from router.inbox.problems import dump_problems

Db = Connection[TupleRow]
#: A lane: route and order key.
Lane = tuple[str, str]

_ASKED: Final = "unnest(%s::text[], %s::text[]) AS asked (route, lane)"
_UNFINISHED: Final = "status IN ('pending', 'running')"

_HOLD_LANES: Final = f"""
INSERT INTO lanes AS there (route, lane, free_since, last)
SELECT route, lane, clock_timestamp(), nextval('events_seq_seq')
FROM (SELECT DISTINCT route, lane FROM {_ASKED}) AS each ORDER BY route, lane
ON CONFLICT (route, lane) DO UPDATE SET previous = there.last, last = excluded.last"""
_DROP_EMPTY_LANES: Final = f"""
DELETE FROM lanes USING {_ASKED}
WHERE lanes.route = asked.route AND lanes.lane = asked.lane AND owner IS NULL AND NOT EXISTS (
    SELECT FROM deliveries d WHERE d.route = lanes.route AND d.lane = lanes.lane AND {_UNFINISHED})"""
# A name that is too long for a notification makes every lane be read again.
_TELL: Final = f"""
WITH told AS (
    SELECT owner, json_build_object('route', route, 'lane', lane)::text AS name
    FROM (SELECT DISTINCT route, lane FROM {_ASKED}) AS each JOIN lanes USING (route, lane))
SELECT CASE WHEN owner IS NULL THEN pg_notify('router_free', '')
            ELSE pg_notify('router_changed', CASE WHEN octet_length(name) > 7000 THEN '*' ELSE name END) END
FROM told"""

_FIND_DEAD: Final = "SELECT id, route, lane FROM deliveries WHERE id = ANY(%s) AND status = 'dead'"
_RETRY: Final = """
UPDATE deliveries SET status = 'pending', round_attempts = 0, blocked = 0, due_at = NULL, settled_at = NULL
WHERE id = ANY(%s) AND status = 'dead' RETURNING id"""
_DISCARD_DEAD: Final = """
UPDATE deliveries SET status = 'discarded', due_at = NULL, settled_at = %s
WHERE id = ANY(%s) AND status = 'dead' RETURNING id"""
_HOLD_LANE_OF: Final = f"""
SELECT lanes.route, lanes.lane FROM lanes JOIN deliveries d USING (route, lane)
WHERE d.id = %s AND d.{_UNFINISHED} FOR UPDATE OF lanes"""
_DISCARD: Final = f"""
UPDATE deliveries SET status = 'discarded', due_at = NULL, settled_at = %s
WHERE id = %s AND {_UNFINISHED}"""

_FIND_EVENTS: Final = "SELECT seq, id, key FROM events WHERE id = ANY(%s) ORDER BY key, seq"
_FIND_KEYS: Final = "SELECT key, seq, id FROM events WHERE key = ANY(%s)"
_FIND_UNFINISHED: Final = f"SELECT event, route FROM deliveries WHERE event = ANY(%s) AND {_UNFINISHED}"
_ACCEPT: Final = """
UPDATE events SET status = 'accepted', problems = NULL, type = %s, instance = %s, chat = %s,
    key = coalesce(%s, key)
WHERE seq = %s"""
_ADD_DELIVERIES: Final = """
INSERT INTO deliveries (event, route, lane)
SELECT event, route, lane FROM unnest(%s::bigint[], %s::text[], %s::text[])
    WITH ORDINALITY AS given (event, route, lane, n) ORDER BY n"""

_NUMBERS: Final = "SELECT nextval('events_seq_seq') FROM generate_series(1, %s)"
_ADD_EVENT: Final = """
INSERT INTO events (seq, id, key, type, instance, chat, status, transport, received_at, problems, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING"""


# Deliveries


def retry(db: Db, delivery_ids: Sequence[int]) -> set[int]:
    """Make dead letters pending again; return which were dead."""
    dead = db.execute(_FIND_DEAD, (delivery_ids,)).fetchall()
    lanes = [(route, lane) for _, route, lane in dead]
    _hold(db, lanes)
    # Of those only whose lanes are held: another one may have died just now.
    retried = {row[0] for row in db.execute(_RETRY, ([delivery_id for delivery_id, *_ in dead],))}
    _let_go(db, lanes)
    return retried


def discard_dead(db: Db, delivery_ids: Sequence[int], at: datetime) -> set[int]:
    """Discard dead letters, which no lane waits for; return which were dead."""
    return {row[0] for row in db.execute(_DISCARD_DEAD, (at, delivery_ids))}


def discard_unfinished(db: Db, delivery_id: int, at: datetime) -> bool:
    """Discard an unfinished delivery; return whether it was unfinished.

    One at a time: replicas settle several at once in an order of their own, and none may wait for the other.
    """
    lanes: list[Any] = db.execute(_HOLD_LANE_OF, (delivery_id,)).fetchall()
    if not lanes:
        return False
    was_unfinished = db.execute(_DISCARD, (at, delivery_id)).rowcount == 1
    _let_go(db, lanes)
    return was_unfinished


def _deliver(db: Db, deliveries: Sequence[tuple[int, NewDelivery]]) -> None:
    """Add deliveries of events, each at the end of its lane."""
    if not deliveries:
        return
    lanes = [(new.route, new.lane) for _, new in deliveries]
    _hold(db, lanes)
    routes, names = _columns(lanes)
    db.execute(_ADD_DELIVERIES, ([seq for seq, _ in deliveries], routes, names))
    _let_go(db, lanes)


# Lanes


def _hold(db: Db, lanes: Sequence[Lane]) -> None:
    """Lock lanes, made where there are none, and mark them as changed."""
    db.execute(_HOLD_LANES, _columns(lanes))


def _let_go(db: Db, lanes: Sequence[Lane]) -> None:
    """Remove lanes that are free and have nothing left, and tell of the others."""
    db.execute(_DROP_EMPTY_LANES, _columns(lanes))
    db.execute(_TELL, _columns(lanes))


def _columns(lanes: Sequence[Lane]) -> tuple[list[str], list[str]]:
    return [route for route, _ in lanes], [lane for _, lane in lanes]


# Events


def replay(db: Db, replays: Sequence[Replay], *, dry_run: bool) -> list[Replayed]:
    """Add deliveries of stored events; see `Ledger.replay`."""
    plan = _plan(db, replays, lock="" if dry_run else "FOR UPDATE")
    done = [plan.replay(replay) for replay in replays]
    if not dry_run:
        with db.cursor() as cursor:
            cursor.executemany(_ACCEPT, plan.accepted)
        _deliver(db, plan.new)
    return done


def _plan(db: Db, replays: Sequence[Replay], *, lock: str) -> _Plan:
    """Read what is there of the events, which nobody else changes from then on."""
    events = db.execute(f"{_FIND_EVENTS} {lock}", ([replay.event.id for replay in replays],)).fetchall()
    keys = [key_hash(replay.key) for replay in replays if replay.key is not None]
    plan = _Plan(events, db.execute(_FIND_KEYS, (keys,)))
    for seq, route in db.execute(_FIND_UNFINISHED, (list(plan.seqs.values()),)):
        plan.unfinished[seq].add(route)
    return plan


class _Plan:
    """What becomes of events that are replayed one after the other.

    Args:
        events: Sequence number, id and key of each that is there.
        holders: Key, sequence number and id of each event that has a key which one of them is to get.
    """

    def __init__(self, events: Iterable[Sequence[Any]], holders: Iterable[Sequence[Any]]) -> None:
        self.seqs: dict[str, int] = {}
        #: Routes that are not done with an event.
        self.unfinished: dict[int, set[str]] = {}
        #: Parameters of `_ACCEPT`.
        self.accepted: list[tuple[object, ...]] = []
        #: Deliveries to add, each with its event.
        self.new: list[tuple[int, NewDelivery]] = []
        self._keys: dict[str, bytes | None] = {}
        self._holders: dict[bytes | None, str] = {key: event_id for key, _, event_id in holders}
        for seq, event_id, key in events:
            self.seqs[event_id] = seq
            self.unfinished[seq] = set()
            self._keys[event_id] = key

    def replay(self, replay: Replay) -> Replayed:
        """Add what is to be done about an event; return what that is."""
        seq = self.seqs.get(replay.event.id)
        if seq is None:
            return Replayed()
        key = None if replay.key is None else key_hash(replay.key)
        holder = self._holders.get(key, replay.event.id)
        if holder != replay.event.id:
            return Replayed(duplicate_of=holder)
        new = [delivery for delivery in replay.deliveries if delivery.route not in self.unfinished[seq]]
        if new:
            self._accept(seq, replay, key)
            self.new += [(seq, delivery) for delivery in new]
            self.unfinished[seq].update(delivery.route for delivery in new)
        return Replayed(
            routes=tuple(delivery.route for delivery in new),
            waiting=tuple(delivery.route for delivery in replay.deliveries if delivery not in new),
        )

    def _accept(self, seq: int, replay: Replay, key: bytes | None) -> None:
        event = replay.event
        self.accepted.append((event.type, event.instance, event.chat, key, seq))
        if key is not None:
            self._holders.pop(self._keys[event.id], None)
            self._holders[key] = event.id
            self._keys[event.id] = key


def add(db: Db, entries: Sequence[Entry]) -> list[str | None]:
    """Store events that are not there yet; see `Ledger.add`."""
    seqs = [row[0] for row in db.execute(_NUMBERS, (len(entries),))]
    keys = [key_hash(entry.key) for entry in entries]
    _add_events(db, sorted(zip(keys, seqs, entries, strict=True), key=itemgetter(0)))
    holders = {key: (seq, event_id) for key, seq, event_id in db.execute(_FIND_KEYS, (keys,))}
    if not holders.keys() >= set(keys):
        raise SerializationFailure("an event went while another one with its key was added")
    found = [holders[key] for key in keys]
    # Those whose key another event has: that one's id.
    others = [
        None if holder == seq else event_id for seq, (holder, event_id) in zip(seqs, found, strict=True)
    ]
    given = zip(seqs, entries, others, strict=True)
    _deliver(db, [(seq, new) for seq, entry, other in given if other is None for new in entry.deliveries])
    return others


def _add_events(db: Db, events: Iterable[tuple[bytes, int, Entry]]) -> None:
    with db.cursor() as cursor:
        cursor.executemany(_ADD_EVENT, [_event_row(seq, key, entry) for key, seq, entry in events])


def _event_row(seq: int, key: bytes, entry: Entry) -> tuple[Any, ...]:
    event = entry.event
    return (
        seq,
        event.id,
        key,
        event.type,
        event.instance,
        event.chat,
        entry.status.value,
        event.transport.value,
        event.received_at,
        dump_problems(entry.problems),
        entry.body,
    )

"""The one task that writes for a replica: a batch of requests after another, as few calls as it can.

While one call waits for the database the next requests gather: the slower it is, the more share a
commit. Nothing is answered before it. What is asked for is carried out in order, and told in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from math import inf
from random import random
from typing import Any, Protocol, TypeVar, cast

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from router import clock
from router.errors import InboxUnavailable
from router.inbox import Done, Duplicate
from router.inbox.keys import Dedup, key_hash
from router.inbox.postgres import statements
from router.inbox.postgres.lease import Lease
from router.inbox.postgres.link import NO_LEASE, Link
from router.inbox.postgres.pages import page_of
from router.inbox.postgres.requests import (
    Announce,
    Discover,
    GiveBack,
    LaneName,
    LetGo,
    Load,
    OfClaim,
    Put,
    Release,
    Request,
    Reread,
    Settle,
    Start,
    Waiting,
    groups,
)
from router.jsontext import same_content
from router.normalize import content_hash
from router.retry import RetryPolicy

R = TypeVar("R")

_log = structlog.get_logger("router.inbox")

#: Requests that are carried out without waiting for more.
_ENOUGH = 256
#: Pauses before the database is asked again whether it is back.
_AGAIN = RetryPolicy(attempts=2**31, first=0.1, factor=2, max=2.0, jitter=0.5)
#: How often what a deadlock took back is tried again.
_DEADLOCKS = 5
#: Seconds without a failure after which the next one is a first one.
_STEADY = 10.0
#: Seconds that what was settled gets to be written, when the router stops and the database is away.
_LAST_CHANCE = 3.0


#: Of a delivery its id, the owner of its lane, and the event that came last in that lane before.
NewlyStored = tuple[int, int | None, int | None]


@dataclass(frozen=True, slots=True)
class Found:
    """An event whose key was there."""

    seq: int
    id: str
    received_at: datetime
    body: bytes


class Owner(Protocol):
    """Whom the writer tells, in the event loop, what became of its requests."""

    def stored(self, put: Put, seq: int, deliveries: Sequence[NewlyStored]) -> None:
        """Take further an event that is stored.

        Args:
            put: Which.
            seq: Its sequence number.
            deliveries: In the order of the entry.
        """

    def known(self, put: Put, duplicate: Duplicate) -> None:
        """Take further an event that was seen before."""

    def would_take(self, lane: LaneName) -> bool:
        """Tell whether there is room for a lane."""

    def kept(self, request: LetGo) -> None:
        """A lane is still there: something may have come."""

    def gone(self, request: LetGo) -> None:
        """A lane is no longer there."""

    def reread(self, request: Reread) -> None:
        """Forget what is known of a lane."""

    def loaded(self, lane: LaneName, last: int | None, page: Sequence[Waiting], *, more: bool) -> None:
        """Take in the next deliveries of a lane; ``last`` is ``None`` if it is not ours."""

    def discovered(self, request: Discover, lanes: Sequence[LaneName], *, more: bool) -> None:
        """Take in lanes that are ours now."""

    def lost(self, exc: InboxUnavailable) -> None:
        """The database cannot be written: hand out no claims."""

    def restored(self) -> None:
        """It can be again."""


class Writer:
    """Carries requests out.

    Args:
        link: Its connection.
        lease: Under which it writes.
        dedup: When two notifications are one.
        owner: Whom it tells.
    """

    def __init__(self, link: Link, lease: Lease, dedup: Dedup, owner: Owner) -> None:
        self._link = link
        self._lease = lease
        self._dedup = dedup
        self._owner = owner
        self._requests: list[Request] = []
        self._asked = asyncio.Event()
        self._closing = False
        #: Why the database cannot be written, while it cannot.
        self.problem: InboxUnavailable | None = None
        self._failures = 0
        self._lost_at = self._restored_at = -inf
        self._give_up_at = inf

    def ask(self, request: Request) -> None:
        """Have something carried out, after all that was asked for before."""
        if self.problem is not None and not request.kept:
            request.refused(self.problem)
            return
        self._requests.append(request)
        self._asked.set()

    async def run(self) -> None:
        """Carry out what is asked for, until `close` and all of it is done."""
        while not (self._closing and not self._requests):
            await self._asked.wait()
            await self._until_no_more_come()
            await self._carry_out(self._take())

    def close(self) -> None:
        """Let `run` end when all is done, or cannot be."""
        self._closing = True
        self._give_up_at = clock.seconds() + _LAST_CHANCE
        self._asked.set()

    async def _until_no_more_come(self) -> None:
        """Wait while each turn of the loop brings more: the more, the cheaper."""
        before = 0
        while before < len(self._requests) < _ENOUGH:
            before = len(self._requests)
            await asyncio.sleep(0)

    def _take(self) -> list[Request]:
        batch, self._requests = self._requests, []
        if not self._closing:
            self._asked.clear()
        return batch

    async def _carry_out(self, batch: Sequence[Request]) -> None:
        """Carry out a batch; what cannot be, since the database is away, is kept or refused."""
        waiting = groups(batch)
        while waiting:
            try:
                me = await self._lease.held()
                waiting[0] = group = self._of_this_lease(waiting[0], me)
                await self._do(group, me)
            except InboxUnavailable as exc:
                await self._outlast(exc, [request for group in waiting for request in group])
                return
            except psycopg.Error as exc:
                if exc.sqlstate == NO_LEASE:
                    self._lease.lose(me)
                elif len(group) > 1:
                    waiting[0:1] = [[request] for request in group]
                else:
                    self._reject(group[0], exc)
                    del waiting[0]
            except Exception as exc:  # whatever it is, the others must not wait for ever
                for request in group:
                    self._reject(request, exc)
                del waiting[0]
            else:
                del waiting[0]
        if self.problem is not None:
            self._restored()

    def _of_this_lease(self, group: Sequence[Request], me: int) -> list[Request]:
        """Return the requests but those whose claims are void."""
        void = [one for one in group if isinstance(one, OfClaim) and one.claim.lease != me]
        stale = len(_all(Settle, void))
        if stale:
            _log.warning("inbox.stale_settles", count=stale, replica=me)
        for one in void:
            one.refused(InboxUnavailable("the lease is over under which it was claimed"))
        return [request for request in group if request not in void] if void else list(group)

    async def _do(self, group: Sequence[Request], me: int) -> None:
        if not group:
            return
        match group[0]:
            case Start() | Release():
                await self._show(group, me)
            case Put() | Settle() | LetGo():
                await self._write(group, me)
            case GiveBack():
                lanes = statements.names([request.lane for request in _all(GiveBack, group)])
                await self._execute(statements.GIVE_BACK, (*lanes, me))
            case Reread():
                for request in _all(Reread, group):
                    self._owner.reread(request)
            case Discover():
                for discover in _all(Discover, group):
                    await self._discover(discover, me)
            case Load():
                await self._load(_all(Load, group), me)
            case Announce():
                await self._execute(statements.ANNOUNCE, ())

    # Writing

    async def _show(self, group: Sequence[Request], me: int) -> None:
        """Show claims as running, and as pending again, each run of one kind in one call."""
        starts = _all(Start, group)
        releases = _all(Release, group)
        if starts:
            ids, since = [one.claim.id for one in starts], [one.since for one in starts]
            await self._execute(statements.START, (me, ids, since))
            for start in starts:
                start.done()
        if releases:
            await self._execute(statements.RELEASE, (me, [one.claim.id for one in releases]))

    async def _write(self, group: Sequence[Request], me: int) -> None:
        puts = [put for put in _all(Put, group) if not put.is_resolved]
        settles, left = _all(Settle, group), _all(LetGo, group)
        failed = [one for one in settles if not isinstance(one.outcome, Done)]
        if failed:
            await self._execute(statements.FAIL, (me, statements.failures(failed)))
        done = [one for one in settles if isinstance(one.outcome, Done)]
        while puts or done or left:
            puts = await self._write_once(me, puts, done, left)
            done, left = [], []

    async def _write_once(
        self, me: int, puts: Sequence[Put], done: Sequence[Settle], left: Sequence[LetGo]
    ) -> list[Put]:
        """Write all in one transaction; return the events that have to be tried again."""
        wanted = [
            self._owner.would_take((new.route, new.lane)) for put in puts for new in put.entry.deliveries
        ]
        values = statements.write_values(me, puts, wanted, done, left)
        ((seqs, *of_deliveries, kept),) = await self._execute(statements.WRITE, values)
        stored = [put for put, seq in zip(puts, seqs or (), strict=True) if seq is not None]
        await self._count([(put.changed[0], True) for put in stored if put.changed])
        deliveries = zip(*(column or () for column in of_deliveries), strict=True)
        before: dict[LaneName, int] = {}
        for put, seq in zip(puts, seqs or (), strict=True):
            of_event = list(islice(deliveries, len(put.entry.deliveries)))
            if seq is not None:
                put.is_resolved = True
                self._owner.stored(put, seq, _in_turn(put, seq, of_event, before))
        for number, one in enumerate(left, 1):
            (self._owner.kept if number in (kept or ()) else self._owner.gone)(one)
        known = [put for put in puts if not put.is_resolved]
        return await self._known(known) if known else []

    # Keys that were there

    async def _known(self, puts: Sequence[Put]) -> list[Put]:
        """Count the events whose keys were there; return those that are to be stored after all."""
        rows = await self._execute(statements.FIND_KEYS, ([key_hash(put.key) for put in puts],))
        found = {bytes(key): Found(seq, event_id, at, bytes(body)) for key, seq, event_id, at, body in rows}
        duplicates: list[tuple[Put, Found, Duplicate]] = []
        again: list[Put] = []
        over: list[tuple[int, bytes]] = []
        for put in puts:
            key = key_hash(put.key)
            there = found.get(key)  # None: removed meanwhile, since it was old
            if there is not None and put.entry.event.received_at - there.received_at > self._dedup.window:
                over.append((there.seq, key))
            elif there is not None and (duplicate := self._duplicate(put, there)) is not None:
                duplicates.append((put, there, duplicate))
                continue
            again.append(put)
        if over:
            await self._execute(statements.FORGET_KEYS, ([seq for seq, _ in over], [key for _, key in over]))
        counted = await self._count([(there.seq, duplicate.changed) for _, there, duplicate in duplicates])
        for put, there, duplicate in duplicates:
            if there.seq in counted:
                put.is_resolved = True
                self._owner.known(put, duplicate)
            else:
                again.append(put)
        return again

    def _duplicate(self, put: Put, there: Found) -> Duplicate | None:
        """Return what a put comes to whose key is there; ``None`` if it is to be tried under another."""
        changed = not same_content(put.entry.body, there.body)
        if changed and self._dedup.deliver_changed and put.key == put.entry.key:
            put.changed = there.seq, there.id
            put.key = f"{put.key} {content_hash(put.entry.event.data)}"
            return None
        return Duplicate(there.id, changed)

    async def _count(self, counts: Sequence[tuple[int, bool]]) -> set[int]:
        """Count duplicates on their events; return the events that are still there."""
        if not counts:
            return set()
        seqs = [seq for seq, _ in counts]
        same, changed = [int(not one) for _, one in counts], [int(one) for _, one in counts]
        rows = await self._execute(statements.COUNT_DUPLICATES, (seqs, same, changed))
        return {seq for (seq,) in rows}

    # Reading

    async def _discover(self, request: Discover, me: int) -> None:
        most = request.most()
        rows = []
        if most > 0:
            values = {"me": me, "route": request.route, "most": most}
            rows = await self._execute(statements.DISCOVER, values)
        lanes = [(request.route, key) for (key,) in rows] if me == self._lease.id else []
        self._owner.discovered(request, lanes, more=len(rows) == most)

    async def _load(self, requests: Sequence[Load], me: int) -> None:
        routes, lanes = statements.names([request.lane for request in requests])
        most = [request.most for request in requests]
        values = {
            "me": me,
            "routes": routes,
            "lanes": lanes,
            "most": most,
            "page_bytes": statements.PAGE_BYTES,
        }
        found: dict[LaneName, list[TupleRow]] = {}
        for route, lane, *facts in await self._execute(statements.LOAD, values):
            found.setdefault((route, lane), []).append(tuple(facts))
        for request in requests:
            rows = found.get(request.lane)
            if rows is None:
                self._owner.loaded(request.lane, None, [], more=False)
                continue
            page, more = page_of(request, rows, me)
            self._owner.loaded(request.lane, rows[0][0], page, more=more)

    # The database

    def _reject(self, request: Request, exc: Exception) -> None:
        """Tell the asker that its request, and no other, cannot be carried out."""
        _log.error("inbox.request_rejected", request=repr(request), exc_info=exc)
        request.refused(InboxUnavailable(f"{' '.join(str(exc).split())}"))

    async def _execute(self, statement: str, values: Any) -> list[TupleRow]:
        async def work(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
            cursor = await connection.execute(cast("Any", statement), values, prepare=True)
            return await cursor.fetchall() if cursor.description else []

        for _ in range(_DEADLOCKS):
            try:
                return await self._link.do(work)
            except InboxUnavailable as exc:
                if not isinstance(exc.__cause__, psycopg.errors.DeadlockDetected):
                    raise
        return await self._link.do(work)

    async def _outlast(self, exc: InboxUnavailable, requests: Sequence[Request]) -> None:
        """Keep what can be written later, refuse the rest, and wait a while."""
        self._lost(exc)
        kept = [*self._kept(requests, exc), *self._kept(self._requests, exc)]
        if self._closing and clock.seconds() > self._give_up_at:
            _log.warning("inbox.outcomes_lost", deliveries=len(_all(Settle, kept)))
            self._requests = []
            return
        # Whoever sends notifications only to a router that is ready would wait for one for ever.
        self._requests = [*kept, Announce()]
        self._asked.set()
        await asyncio.sleep(_AGAIN.next(self._failures, random) or 0.0)

    def _kept(self, requests: Sequence[Request], exc: InboxUnavailable) -> list[Request]:
        kept: list[Request] = []
        for request in requests:
            if isinstance(request, Put) and not request.is_resolved:
                # It may be stored nevertheless, in a lane that is ours and of which we do not know.
                kept += [Reread((new.route, new.lane)) for new in request.entry.deliveries]
            if request.kept:
                kept.append(request)
            else:
                request.refused(exc)
        return kept

    def _lost(self, exc: InboxUnavailable) -> None:
        if self.problem is None:
            if clock.seconds() - self._restored_at > _STEADY:
                self._failures = 0
            self._lost_at = clock.seconds()
            _log.warning("inbox.database_lost", error=str(exc))
        self._failures += 1
        self.problem = exc
        self._owner.lost(exc)

    def _restored(self) -> None:
        self.problem = None
        self._restored_at = clock.seconds()
        _log.info("inbox.database_back", after=round(self._restored_at - self._lost_at, 1))
        self._owner.restored()


def _all(kind: type[R], requests: Sequence[Request]) -> list[R]:
    return [request for request in requests if isinstance(request, kind)]


def _in_turn(
    put: Put, seq: int, deliveries: Sequence[NewlyStored], before: dict[LaneName, int]
) -> list[NewlyStored]:
    """Return deliveries with what came before them in their lanes within the same call as well."""
    in_turn = []
    for new, (delivery_id, owner, previous) in zip(put.entry.deliveries, deliveries, strict=True):
        lane = (new.route, new.lane)
        in_turn.append((delivery_id, owner, before.get(lane, previous)))
        before[lane] = seq
    return in_turn


async def plan_by_index(connection: AsyncConnection[TupleRow]) -> None:
    """Have every statement go by indexes: plans made while a table was small are kept when it is large."""
    await connection.execute(statements.PLAN_BY_INDEX)

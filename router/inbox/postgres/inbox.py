"""The inbox of many replicas: each runs the lanes that it owns, and the database says which those are.

A lane's row is there exactly while the lane has unfinished deliveries. Whoever stores the first one
owns the lane, if it has room, and runs it to its end; what others store in it meanwhile it finds when
it wants to let the lane go. Free lanes are taken by whoever has room. So nothing that waits is moved,
and nobody has to be told of what comes into a lane that runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from router import clock
from router.errors import InboxUnavailable
from router.inbox import Claim, Duplicate, Entry, Handled, Outcome, Retry, Stored, next_attempt
from router.inbox.awaited import Awaited
from router.inbox.backlog import Backlog
from router.inbox.keys import Dedup
from router.inbox.lanes import Lanes
from router.inbox.postgres.database import Database
from router.inbox.postgres.housekeeping import Housekeeping
from router.inbox.postgres.lease import Lease
from router.inbox.postgres.link import Link
from router.inbox.postgres.pollers import PostgresPollers
from router.inbox.postgres.requests import (
    Announce,
    Discover,
    GiveBack,
    LaneName,
    LetGo,
    Load,
    Put,
    Release,
    Reread,
    Settle,
    Start,
    Waiting,
)
from router.inbox.postgres.store import PostgresStore
from router.inbox.postgres.writer import NewlyStored, Writer, plan_by_index

#: Lanes of a route that a replica has for each delivery of it that may run at once: more are left to others.
_AHEAD = 2.0
#: Seconds between two words to the others that lanes are free.
_ANNOUNCE_EVERY = 0.05
#: Seconds that a call of the database may take, and at a short lease half of that.
_LIMIT = 5.0

_log = structlog.get_logger("router.inbox")


class PostgresInbox:
    """An `Inbox` in a PostgreSQL database, beside those of other replicas.

    Args:
        url: As libpq takes it.
        routes: Concurrency bound by route name, for this replica.
        concurrency: Deliveries that run at once in this replica, over all routes.
        dedup_window: Seconds within which a key counts as seen.
        deliver_changed: Store a notification whose key was seen with other content as an event of its own.
        retention: Seconds for which an event is kept, and longer while one of its deliveries is not done.
        lease: Seconds within which the lanes of a dead replica go on in another.

    Raises:
        InboxUnavailable: The URL is none.
    """

    def __init__(
        self,
        url: str,
        routes: Mapping[str, int],
        *,
        concurrency: int = 256,
        dedup_window: float = 48 * 3600,
        deliver_changed: bool = False,
        retention: float = 7 * 86400,
        lease: float = 30.0,
    ) -> None:
        self._database = Database(url)
        self._routes = frozenset(routes)
        self._lanes = Lanes(
            routes,
            concurrency=concurrency,
            load=self._load,
            discover=self._discover,
            left=self._left,
            ahead=_AHEAD,
        )
        self._awaited = Awaited(keeps_failed=True)
        self._backlog = Backlog(self._recount)
        self.store = PostgresStore(self._database)
        self.pollers = PostgresPollers(self._hurry)
        self._lease = Lease(self._database, lease, [*routes], self, self.pollers)
        link = Link(self._database, limit=min(_LIMIT, max(1.0, lease / 2)), prepare=plan_by_index)
        dedup = Dedup(timedelta(seconds=dedup_window), deliver_changed)
        self._writer = Writer(link, self._lease, dedup, self)
        self._link = link
        self._housekeeping = Housekeeping(self._database, retention, self._routes, self._backlog)
        #: Of each lane that is ours the last event that we know of.
        self._last: dict[LaneName, int] = {}
        self._until = 0.0
        #: Held by the one claim that runs and was cut off before.
        self._alone = asyncio.Lock()
        self._runs_alone: Claim | None = None
        self._announcement: asyncio.TimerHandle | None = None
        self._lapse: asyncio.TimerHandle | None = None
        self._stopping = False
        # From open to close
        self._tasks: list[asyncio.Task[None]] = []

    # The contract

    async def open(self) -> None:
        """See `Inbox.open`."""
        await asyncio.to_thread(self._database.prepare)
        await self._lease.beat()
        await self.store.open()
        await self._housekeeping.count()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._writer.run(), name="inbox-writer"),
            loop.create_task(self._lease.run(), name="inbox-lease"),
            loop.create_task(self._housekeeping.run(), name="inbox-housekeeping"),
        ]
        self._backlog.watch()
        self._lanes.start()

    async def close(self) -> None:
        """See `Inbox.close`."""
        if not self._tasks:
            return
        self.stop_claims()
        self._backlog.stop()
        for timer in (self._announcement, self._lapse):
            if timer is not None:
                timer.cancel()
        writer, *others = self._tasks
        self._writer.close()
        await writer
        await _end(others)
        self._tasks = []
        await self._lease.leave()
        await self.store.close()
        await self._housekeeping.close()
        await self._link.close()

    async def put(self, entry: Entry) -> Stored | Duplicate:
        """See `Inbox.put`."""
        answer: asyncio.Future[Stored | Duplicate] = asyncio.get_running_loop().create_future()
        self._writer.ask(Put(entry, answer))
        return await answer

    def hold(self, route: str) -> None:
        """See `Inbox.hold`."""
        self._lanes.leave(route)

    async def claim(self) -> Claim | None:
        """See `Inbox.claim`."""
        while True:
            claim = await self._lanes.claim()
            if claim is None or not claim.is_suspect or await self._show_running(claim):
                return claim

    def stop_claims(self) -> None:
        """See `Inbox.stop_claims`."""
        self._lanes.stop()
        if not self._stopping:
            self._stopping = True
            for route, key, is_running in self._lanes.known():
                if not is_running:
                    self._give_back((route, key))

    def started(self, claim: Claim) -> None:
        """See `Inbox.started`."""
        if not claim.is_suspect:
            self._writer.ask(Start(claim))

    def settle(self, claim: Claim, outcome: Outcome) -> None:
        """See `Inbox.settle`."""
        self._writer.ask(Settle(claim, outcome))
        self._ended(claim)
        self._awaited.ended(claim, outcome)  # a retry is ours: GREEN-API need not send it again
        if claim.lease != self._lease.id:
            self._lanes.finished(claim)
        elif isinstance(outcome, Retry):
            self._lanes.retry(next_attempt(claim, outcome), self._lanes.now() + outcome.delay)
        else:
            self._backlog.settled()
            self._lanes.finished(claim)
        if self._stopping:
            self._give_back((claim.route, claim.lane))

    def release(self, claim: Claim) -> None:
        """See `Inbox.release`."""
        self._writer.ask(Release(claim))
        self._ended(claim)
        if claim.lease == self._lease.id:
            self._lanes.changed(claim.route, claim.lane)
        self._lanes.finished(claim)
        if self._stopping:
            self._give_back((claim.route, claim.lane))

    def problem(self) -> str | None:
        """See `Inbox.problem`."""
        if self._writer.problem is not None:
            return str(self._writer.problem)
        if self._lease.id is None or clock.seconds() >= self._until:
            return f"inbox {self._database.where}: the lease of this replica is over and could not be renewed"
        return None

    # What lanes ask for

    def _load(self, route: str, lane: str, most: int) -> None:
        self._writer.ask(Load((route, lane), most))

    def _discover(self, route: str, cursor: int) -> None:
        self._writer.ask(Discover(route, lambda: self._lanes.room(route)))

    def _left(self, route: str, lane: str) -> None:
        """Let a lane go of which nothing more is known, unless it is not ours any more."""
        last = self._last.get((route, lane))
        if last is not None:
            self._writer.ask(LetGo((route, lane), last))

    def _give_back(self, lane: LaneName) -> None:
        self._lanes.forget(*lane)
        if self._last.pop(lane, None) is not None:
            self._writer.ask(GiveBack(lane))
            self._announce()

    def _announce(self) -> None:
        """Tell the others that there are free lanes, soon and not too often."""
        if self._announcement is None:
            loop = asyncio.get_running_loop()
            self._announcement = loop.call_later(_ANNOUNCE_EVERY, self._announce_now)

    def _announce_now(self) -> None:
        """Tell the others."""
        self._announcement = None
        self._writer.ask(Announce())

    async def _show_running(self, claim: Claim) -> bool:
        """Show a claim as running before it runs; return whether it may, which it may not if it is void."""
        shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            if claim.was_cut_off:
                await self._alone.acquire()
                self._runs_alone = claim
            if self._stopping:
                self.release(claim)
                return False
            self._writer.ask(Start(claim, shown))
            await shown
        except (asyncio.CancelledError, InboxUnavailable) as exc:
            self.release(claim)
            if isinstance(exc, asyncio.CancelledError):
                raise
            return False
        return True

    def _hurry(self) -> None:
        self._lease.hurry()

    def _ended(self, claim: Claim) -> None:
        if claim is self._runs_alone:
            self._runs_alone = None
            self._alone.release()

    def _recount(self) -> None:
        self._housekeeping.recount()

    # What the writer tells

    def stored(self, put: Put, seq: int, deliveries: Sequence[NewlyStored]) -> None:
        """See `writer.Owner.stored`."""
        me, event, size = self._lease.id, put.entry.event, len(put.entry.body)
        claims = []
        for new, (delivery_id, owner, previous) in zip(put.entry.deliveries, deliveries, strict=True):
            lane = (new.route, new.lane)
            if owner is None:
                self._announce()
                self._lanes.look(new.route)
            elif owner == me:
                self._backlog.waiting += 1
                claims.append((lane, previous, Claim(delivery_id, *lane, event, size=size, lease=owner)))
        self._answer(put, Stored(self._handled(put, claims, deliveries), put.changed and put.changed[1]))
        for lane, previous, claim in claims:
            self._take(lane, previous, seq, claim)

    def _take(self, lane: LaneName, previous: int | None, seq: int, claim: Claim) -> None:
        """Let a delivery wait in its lane; read the lane anew if others have stored something before it."""
        knows_all = self._last.get(lane) == previous
        self._last[lane] = seq
        if knows_all:
            self._lanes.take(claim)
        else:
            self._lanes.changed(*lane)

    def _handled(
        self,
        put: Put,
        claims: Sequence[tuple[LaneName, int | None, Claim]],
        deliveries: Sequence[NewlyStored],
    ) -> Handled | None:
        """Return what is waited for; nothing where another replica handles a part of it."""
        if not put.entry.awaited or len(claims) < len(deliveries):
            return None
        return self._awaited.expect(put.entry.event.id, [delivery_id for delivery_id, _, _ in deliveries])

    def known(self, put: Put, duplicate: Duplicate) -> None:
        """See `writer.Owner.known`."""
        self._answer(put, duplicate)

    def _answer(self, put: Put, result: Stored | Duplicate) -> None:
        if not put.answer.done():
            put.answer.set_result(result)

    def would_take(self, lane: LaneName) -> bool:
        """See `writer.Owner.would_take`."""
        return self._lanes.would_take(*lane)

    def kept(self, request: LetGo) -> None:
        """See `writer.Owner.kept`."""
        if self._last.get(request.lane) == request.last:  # others have stored something in it
            self._lanes.changed(*request.lane)

    def gone(self, request: LetGo) -> None:
        """See `writer.Owner.gone`."""
        if self._last.get(request.lane) == request.last:
            del self._last[request.lane]

    def reread(self, request: Reread) -> None:
        """See `writer.Owner.reread`."""
        self._lanes.changed(*request.lane)

    def loaded(self, lane: LaneName, last: int | None, page: Sequence[Waiting], *, more: bool) -> None:
        """See `writer.Owner.loaded`."""
        if last is None:
            self._last.pop(lane, None)
        else:
            self._last[lane] = last
        now = self._lanes.now()
        due = [(claim, None if wait is None else now + wait) for claim, wait in page]
        self._lanes.loaded(*lane, due, more=more)

    def discovered(self, request: Discover, lanes: Sequence[LaneName], *, more: bool) -> None:
        """See `writer.Owner.discovered`."""
        for lane in lanes:
            self._lanes.changed(*lane)
        self._lanes.discovered(request.route, (), cursor=0, more=more)

    def lost(self, exc: InboxUnavailable) -> None:
        """See `writer.Owner.lost`."""
        self._lanes.pause()

    def restored(self) -> None:
        """See `writer.Owner.restored`."""
        self._lanes.resume()

    # What the lease tells

    def extended(self, until: float) -> None:
        """See `lease.Owner.extended`."""
        self._until = until
        self._lanes.extend(until)
        if self._lapse is not None:
            self._lapse.cancel()
        self._lapse = asyncio.get_running_loop().call_later(until - clock.seconds(), self.pollers.lost)

    def unreachable(self) -> None:
        """See `lease.Owner.unreachable`."""
        if self._writer.problem is None:
            self._writer.ask(Announce())  # whoever has nothing to write learns it so

    def lease_lost(self, me: int) -> None:
        """See `lease.Owner.lease_lost`."""
        known = self._lanes.known()
        for route, key, _ in known:
            self._lanes.forget(route, key)
        self._last.clear()
        self.pollers.lost()
        running = sum(is_running for _, _, is_running in known)
        _log.warning("inbox.lease_lost", replica=me, running=running)

    def look(self, route: str) -> None:
        """See `lease.Owner.look`."""
        self._lanes.look(route)

    def lane_changed(self, route: str, lane: str) -> None:
        """See `lease.Owner.lane_changed`."""
        self._backlog.is_stale = True
        if (route, lane) in self._last:
            self._writer.ask(Reread((route, lane)))

    def all_changed(self) -> None:
        """See `lease.Owner.all_changed`."""
        for route, lane in [*self._last]:
            self.lane_changed(route, lane)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: `asyncio.wait_for` of Python 3.11 may swallow a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)

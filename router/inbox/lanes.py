"""Which delivery may run next: lanes in order, routes in turn, memory bounded.

`Lanes` is the in-process half of an inbox. It knows the lanes that have something to do, and the
next few deliveries of each; everything behind them stays in the store. A lane whose store holds
more than memory does is *spilled*: when its turn comes, the store is asked for its next page. A
route whose store holds lanes that are not known here is *behind*: lanes are then discovered page
by page, oldest first, as known ones are finished.

Everything the store reports (`add`, `loaded`, `discovered`) has to come in the order in which the
store did it; one writer thread gives that for nothing.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from router import clock
from router.inbox import Claim

#: Deliveries that wait in memory, over all lanes, and bytes of their bodies; more than that spill.
MAX_WAITING = 2_000
MAX_BYTES = 16 * 2**20
#: Deliveries of one lane that are asked for at once while there is room; otherwise it is one.
PAGE = 32
#: Lanes of one route that are known at a time, and beside these the lanes held up by a retry.
MAX_LANES = 2_000
MAX_HELD = 20_000


@dataclass(slots=True, eq=False)
class _Lane:
    route: _Route
    key: str
    waiting: deque[Claim] = field(default_factory=deque)
    running: bool = False
    #: The store holds deliveries of this lane that ``waiting`` does not.
    spilled: bool = False
    loading: bool = False
    #: Loop time before which nothing of this lane starts, while it is held up by a retry.
    due: float | None = None
    #: It has waited for its retry: whatever the store says of that, it is over.
    has_waited: bool = False
    #: It stands in its route's queue of ready lanes.
    queued: bool = False
    #: An operator changed it while a delivery of it runs: only the store knows what comes first.
    changed: bool = False


@dataclass(slots=True, eq=False)
class _Route:
    name: str
    concurrency: int
    max_lanes: float
    lanes: dict[str, _Lane] = field(default_factory=dict)
    ready: deque[_Lane] = field(default_factory=deque)
    #: Lanes whose page was just read: they come first, or all of `ready` would be read before any runs.
    just_read: deque[_Lane] = field(default_factory=deque)
    running: int = 0
    loading: int = 0
    held: int = 0
    #: It stands in the queue of routes whose turn may come.
    queued: bool = False
    #: The store holds lanes after ``cursor`` that are not known here.
    behind: bool = False
    discovering: bool = False
    cursor: int = 0


class _Memory:
    """What waiting deliveries take, and whether there is room for more."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._count = 0
        self._bytes = 0

    def is_full(self) -> bool:
        return self._count >= self._most or self._bytes >= self._most_bytes

    def take(self, claim: Claim) -> None:
        self._count += 1
        self._bytes += claim.size

    def give(self, claim: Claim) -> None:
        self._count -= 1
        self._bytes -= claim.size


class Lanes:
    """Deliveries that wait, and the rules by which the next one is chosen.

    Args:
        routes: Concurrency bound by route name; deliveries of other routes are left in the store.
        concurrency: Deliveries that run at once, over all routes. A route that runs one already leaves
            enough of them free for each route that runs none: whatever hangs, the others go on.
        load: Asks the store for the next so many deliveries of (route, lane); answered by `loaded`.
        discover: Asks the store for lanes of a route with deliveries after an id; answered by `discovered`.
        left: Told of each lane of which nothing more is known.
        max_waiting: Deliveries that wait in memory, over all lanes.
        max_bytes: Bytes of their bodies.
        max_lanes: Lanes of a route that are known at a time, and not held up.
        max_held: Lanes of a route that are held up and known.
        ahead: Lanes of a route that are known for each of its deliveries that may run at once, at most.
    """

    def __init__(
        self,
        routes: Mapping[str, int],
        *,
        concurrency: int = 256,
        load: Callable[[str, str, int], None],
        discover: Callable[[str, int], None],
        left: Callable[[str, str], None] = lambda route, key: None,
        max_waiting: int = MAX_WAITING,
        max_bytes: int = MAX_BYTES,
        max_lanes: int = MAX_LANES,
        max_held: int = MAX_HELD,
        ahead: float = inf,
    ) -> None:
        self._routes = {
            name: _Route(name, places, min(max_lanes, ahead * places)) for name, places in routes.items()
        }
        self._load = load
        self._discover = discover
        self._left = left
        self._memory = _Memory(max_waiting, max_bytes)
        self._max_held = max_held
        self._concurrency = concurrency
        self._running = 0
        self._idle_routes = len(self._routes)
        #: Routes that have to leave what is free to others.
        self._held_back: list[_Route] = []
        self._turns: deque[_Route] = deque()
        self._held: list[tuple[float, int, _Lane]] = []
        self._holds = 0
        self._claimers: deque[asyncio.Future[None]] = deque()
        #: A claimer was woken and has not looked yet; it wakes the next one if there is more to take.
        self._is_one_awake = False
        self._running_loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._paused = False
        #: Until when, by `router.clock.seconds`, claims may be handed out.
        self._until = inf

    # What the store reports

    def add(self, claim: Claim) -> None:
        """Take in a delivery that was just stored."""
        route = self._routes.get(claim.route)
        if route is None:
            return
        lane = route.lanes.get(claim.lane)
        if lane is None:
            if route.behind:
                return  # discovery will come across it
            if self._is_full(route):
                route.behind, route.cursor = True, claim.id - 1
                return
            lane = route.lanes[claim.lane] = _Lane(route, claim.lane)
        if lane.loading or lane.spilled:
            return  # the page that is read next has it, in its place
        if lane.due is not None or self._memory.is_full():
            lane.spilled = True
        else:
            self._keep(lane, claim)
        self._enqueue(lane)

    def loaded(self, route: str, key: str, page: Sequence[tuple[Claim, float | None]], *, more: bool) -> None:
        """Take in the next deliveries of a lane, each with the loop time it is due, if it waits for one."""
        lane = self._routes[route].lanes[key]
        lane.loading = False
        lane.route.loading -= 1
        lane.spilled = more
        for claim, _ in page:
            self._keep(lane, claim)
        due = page[0][1] if page else None
        if due is not None and not lane.has_waited:
            self._hold(lane, due)
        lane.has_waited = False
        self._go_on(lane, lane.route.just_read)

    def discovered(self, route: str, keys: Iterable[str], *, cursor: int, more: bool) -> None:
        """Take in lanes that have deliveries in the store, read up to the id ``cursor``."""
        found = self._routes.get(route)
        if found is None:
            return
        found.discovering = False
        found.cursor = cursor
        found.behind = more
        for key in keys:
            if key not in found.lanes:
                lane = found.lanes[key] = _Lane(found, key, spilled=True)
                self._enqueue(lane)
        self._catch_up(found)

    def changed(self, route: str, key: str) -> None:
        """Forget what is known of a lane: an operator changed it in the store."""
        if route not in self._routes:
            return
        found = self._routes[route]
        lane = found.lanes.get(key)
        if lane is None:
            lane = found.lanes[key] = _Lane(found, key)
        self._forget_waiting(lane)
        self._unhold(lane)
        lane.has_waited = False
        lane.spilled = True
        lane.changed = lane.running
        self._enqueue(lane)

    def would_take(self, route: str, key: str) -> bool:
        """Tell whether there is room for the lane, or whether it should be left to others."""
        found = self._routes.get(route)
        if found is None or self._stopped:
            return False
        return key in found.lanes or not (found.behind or self._is_full(found))

    def take(self, claim: Claim) -> None:
        """Take in a delivery that was just stored, of a lane that is ours whether there is room or not."""
        found = self._routes[claim.route]
        if claim.lane not in found.lanes:
            found.lanes[claim.lane] = _Lane(found, claim.lane)
        self.add(claim)

    def room(self, route: str) -> int:
        """Return how many more lanes of a route may be discovered."""
        return max(0, int(self._room(self._routes[route]))) if route in self._routes else 0

    def look(self, route: str) -> None:
        """Discover lanes of a route as soon as there is room: there are some again."""
        found = self._routes.get(route)
        if found is not None and not self._stopped:
            found.behind = True
            self._catch_up(found)

    def known(self) -> list[tuple[str, str, bool]]:
        """Return route and key of each lane that is known, and whether a delivery of it runs."""
        lanes = [lane for route in self._routes.values() for lane in route.lanes.values()]
        return [(lane.route.name, lane.key, lane.running) for lane in lanes]

    def forget(self, route: str, key: str) -> None:
        """Forget a lane that is not ours any more, if it is known; what runs of it runs to its end."""
        lane = self._routes[route].lanes.get(key)
        if lane is None:
            return
        self._forget_waiting(lane)
        self._unhold(lane)
        lane.spilled = lane.has_waited = False
        lane.changed = lane.running
        if not lane.running and not lane.loading:
            lane.route.lanes.pop(key)

    def leave(self, route: str) -> None:
        """Leave a route's deliveries in the store from now on. Called before any is claimed."""
        if self._routes.pop(route, None) is not None:
            self._idle_routes -= 1

    def now(self) -> float:
        """Return the loop time, by which lanes are held up."""
        return self._loop.time()

    def start(self) -> None:
        """Begin to look for what an earlier run left in the store."""
        for route in self._routes.values():
            route.behind = True
            self._catch_up(route)

    # What dispatch asks for

    async def claim(self) -> Claim | None:
        """Wait for a delivery that may run now; ``None`` once stopped."""
        while not self._stopped:
            claim = self.claim_nowait()
            if claim is not None:
                self._wake()
                return claim
            claimer: asyncio.Future[None] = self._loop.create_future()
            self._claimers.append(claimer)
            try:
                await claimer
            except asyncio.CancelledError:
                if claimer.done():  # what woke this one is for another
                    self._is_one_awake = False
                    self._wake()
                raise
            self._is_one_awake = False
        return None

    def claim_nowait(self) -> Claim | None:
        """Return a delivery that may run now, if there is one. Routes take turns, so do their lanes."""
        while self._turns and not self._paused and clock.seconds() < self._until:
            route = self._turns.popleft()
            route.queued = False
            claim = self._claim_from(route)
            self._take_turn(route)
            if claim is not None:
                return claim
        return None

    def finished(self, claim: Claim) -> None:
        """Let the lane of a settled claim go on."""
        lane = self._free(claim)
        self._go_on(lane)

    def retry(self, claim: Claim, due: float) -> None:
        """Put the next attempt of a claim back at the head of its lane, to start at loop time ``due``."""
        lane = self._free(claim)
        if lane.changed:
            self._go_on(lane)
            return
        # What waits behind it can be read again; a lane that is held up should cost no memory.
        lane.spilled = lane.spilled or bool(lane.waiting)
        self._forget_waiting(lane)
        if self._memory.is_full():
            lane.spilled = True
        else:
            self._keep(lane, claim)
        self._hold(lane, due)
        self._take_turn(lane.route)

    def extend(self, until: float) -> None:
        """Hand out claims until then, by `router.clock.seconds`."""
        self._until = until
        self._wake()

    def pause(self) -> None:
        """Hand out no claims until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Hand out claims again."""
        self._paused = False
        self._wake()

    def stop(self) -> None:
        """Hand out no claims any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._wake_all()

    # Choosing

    def _claim_from(self, route: _Route) -> Claim | None:
        while (queue := route.just_read or route.ready) and self._has_place(route):
            if route.running and self._running + self._idle_routes >= self._concurrency:
                self._held_back.append(route)
                return None
            lane = queue.popleft()
            lane.queued = False
            if lane.waiting:
                return self._run_next(lane)
            if lane.spilled:
                lane.loading = True
                route.loading += 1
                self._load(route.name, lane.key, 1 if self._memory.is_full() else PAGE)
        return None

    def _has_place(self, route: _Route) -> bool:
        return route.running + route.loading < route.concurrency

    def _run_next(self, lane: _Lane) -> Claim:
        lane.running = True
        lane.has_waited = lane.changed = False
        self._idle_routes -= not lane.route.running
        lane.route.running += 1
        self._running += 1
        claim = lane.waiting.popleft()
        self._memory.give(claim)
        return claim

    def _keep(self, lane: _Lane, claim: Claim) -> None:
        lane.waiting.append(claim)
        self._memory.take(claim)

    def _forget_waiting(self, lane: _Lane) -> None:
        for claim in lane.waiting:
            self._memory.give(claim)
        lane.waiting.clear()

    def _go_on(self, lane: _Lane, queue: deque[_Lane] | None = None) -> None:
        if not lane.running and not lane.loading and not lane.waiting and not lane.spilled:
            if lane.route.lanes.pop(lane.key, None) is not None:
                self._left(lane.route.name, lane.key)
            self._catch_up(lane.route)
        self._enqueue(lane, queue)
        self._take_turn(lane.route)

    def _enqueue(self, lane: _Lane, queue: deque[_Lane] | None = None) -> None:
        """Let the lane stand in a queue, by default its route's `ready`, if it has something to do."""
        busy = lane.running or lane.loading or lane.due is not None
        if not busy and not lane.queued and (lane.waiting or lane.spilled):
            lane.queued = True
            (lane.route.ready if queue is None else queue).append(lane)
            self._take_turn(lane.route)

    def _take_turn(self, route: _Route) -> None:
        is_ready = bool(route.ready or route.just_read)
        if is_ready and self._has_place(route) and not route.queued and route not in self._held_back:
            route.queued = True
            self._turns.append(route)
        self._wake()

    def _free(self, claim: Claim) -> _Lane:
        lane = self._routes[claim.route].lanes[claim.lane]
        lane.running = False
        lane.route.running -= 1
        self._running -= 1
        self._idle_routes += not lane.route.running
        held_back, self._held_back = self._held_back, []
        for route in held_back:
            self._take_turn(route)
        return lane

    # Lanes held up by a retry

    def _hold(self, lane: _Lane, due: float) -> None:
        lane.due = due
        lane.route.held += 1
        self._holds += 1
        heapq.heappush(self._held, (due, self._holds, lane))
        self._set_timer()
        self._catch_up(lane.route)  # it counts no more as known: there is room for another

    def _unhold(self, lane: _Lane) -> None:
        if lane.due is not None:
            lane.due = None
            lane.route.held -= 1
            self._catch_up(lane.route)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held and not self._stopped:
            self._timer = self._loop.call_at(self._held[0][0], self._let_go)

    def _let_go(self) -> None:
        now = self._loop.time()
        while self._held and self._held[0][0] <= now:
            due, _, lane = heapq.heappop(self._held)
            if lane.due == due:
                self._unhold(lane)
                lane.has_waited = True
                self._enqueue(lane)
        self._timer = None
        self._set_timer()

    # Lanes that are only in the store

    def _is_full(self, route: _Route) -> bool:
        return self._room(route) <= 0 or route.held >= self._max_held

    def _room(self, route: _Route) -> float:
        return route.max_lanes - (len(route.lanes) - route.held)

    def _catch_up(self, route: _Route) -> None:
        if route.behind and not route.discovering and not self._is_full(route):
            route.discovering = True
            self._discover(route.name, route.cursor)

    # Claimers that wait

    def _wake(self) -> None:
        """Wake one claimer if there is something to take; that one wakes the next."""
        if self._turns and not self._is_one_awake and not self._paused:
            self._wake_next()

    def _wake_next(self) -> None:
        while self._claimers and not self._is_one_awake:
            claimer = self._claimers.popleft()
            if not claimer.done():
                claimer.set_result(None)
                self._is_one_awake = True

    def _wake_all(self) -> None:
        while self._claimers:
            self._is_one_awake = False
            self._wake_next()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; asking for it is a system call on Python 3.11."""
        if self._running_loop is None:
            self._running_loop = asyncio.get_running_loop()
        return self._running_loop

"""Which instances are there: polled without trouble, authorized, heard of lately. Silence is told.

An account that stands still looks like an account to which nobody writes, unless somebody watches.
Where several routers share an inbox, each hears of an instance only now and then. So they tell each other,
through what the inbox keeps, and an instance is quiet when none of them hears of it; one tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf

import anyio
import structlog
from anyio import CancelScope, move_on_after

from router import clock
from router.alerts import Alerts
from router.errors import InboxUnavailable, InstanceNotReady
from router.events import AlertKind, Event
from router.inbox.store import Store

_log = structlog.get_logger("router.presence")

#: What ``stateInstance`` says when the instance works.
_AUTHORIZED = "authorized"
#: What says nothing yet: it will be authorized in a moment, or not.
_STARTING = "starting"
#: Scopes by instance: when one of the routers last heard of it, and that one of them tells of its silence.
_HEARD, _TOLD = "presence/heard", "presence/told"
#: The share of its time after which it is said again that an instance was heard of.
_OFTEN = 0.1
#: Seconds until others are asked again about an instance that is quiet, and after the inbox failed.
_AGAIN = 30.0


class Presence:
    """Watches the instances that ``routes.yaml`` lists.

    Args:
        instances: Their numbers; none: any instance is welcome, and none is missed.
        quiet_after: Seconds of silence after which an instance is missed.
        alerts: Told of instances that are down, not authorized or quiet, and of the end of it.
        clock: Tells seconds.
    """

    def __init__(
        self,
        instances: Iterable[int],
        quiet_after: Mapping[int, float],
        alerts: Alerts,
        *,
        clock: Callable[[], float] = clock.seconds,
    ) -> None:
        self._instances = frozenset(instances)
        self._quiet_after = quiet_after
        self._alerts = alerts
        self._clock = clock
        self._strangers: set[int] = set()
        self._heard_at = dict.fromkeys(quiet_after, clock())
        #: When the others were last told that an instance was heard of, and of which they are to be told.
        self._shared_at: dict[int, float] = {}
        self._to_share: set[int] = set()
        self._has_news = anyio.Event()
        self._quiet: set[int] = set()
        #: What polling has told of, which only polling takes back.
        self._lost: set[tuple[AlertKind, int]] = set()
        #: The timestamp of the last change of an instance's state; older ones come late, or twice.
        self._changed_at: dict[int, int] = {}
        self._scope: CancelScope | None = None

    def heard(self, event: Event) -> None:
        """Note that a notification came, of whatever kind."""
        instance = event.instance
        if instance is None or not self._instances:
            return
        if instance not in self._instances:
            self._notice_stranger(event, instance)
            return
        if instance in self._heard_at:
            self._heard_at[instance] = self._clock()
            self._recover(instance)
            self._tell_others(instance)
        if event.type == "stateInstanceChanged":
            self._note_state(event, instance)

    def lost(self, instance: int, error: Exception) -> None:
        """Tell that an instance cannot be polled."""
        kind = AlertKind.INSTANCE_STATE if isinstance(error, InstanceNotReady) else AlertKind.INSTANCE_DOWN
        self._lost.add((kind, instance))
        self._alerts.report(kind, str(instance), idInstance=instance, error=str(error))

    def restored(self, instance: int) -> None:
        """Tell that it can be polled again."""
        for kind in (AlertKind.INSTANCE_DOWN, AlertKind.INSTANCE_STATE):
            if (kind, instance) in self._lost:
                self._lost.discard((kind, instance))
                self._alerts.recover(kind, str(instance))

    async def run(self, store: Store) -> None:
        """Miss instances that are quiet, until `stop`.

        Args:
            store: Where routers tell each other of whom they heard.
        """
        with CancelScope() as self._scope:
            while self._heard_at:
                self._has_news = anyio.Event()
                with move_on_after(await self._look(store)):
                    await self._has_news.wait()

    def stop(self) -> None:
        """End `run`."""
        if self._scope is not None:
            self._scope.cancel()

    def miss(self, now: float) -> float:
        """Tell of each instance that has been quiet for too long by ``now``; return when to look again."""
        for instance, limit in self._quiet_after.items():
            if self._is_overdue(instance, now) and instance not in self._quiet:
                self._quiet.add(instance)
                self._alerts.report(AlertKind.QUIET, str(instance), idInstance=instance, quiet_after=limit)
        return min(
            now + limit if instance in self._quiet else self._heard_at[instance] + limit
            for instance, limit in self._quiet_after.items()
        )

    async def _look(self, store: Store) -> float:
        """Tell the others, ask them, and miss who is quiet; return after how many seconds to look again."""
        now = self._clock()
        try:
            await self._share(store)
            for instance in self._quiet_after:
                if self._is_overdue(instance, now):
                    await self._ask(store, instance, now)
        except InboxUnavailable:
            return _AGAIN
        wait = max(0.0, self.miss(now) - self._clock())
        return min(wait, _AGAIN) if self._quiet else wait

    async def _share(self, store: Store) -> None:
        for instance in [*self._to_share]:
            limit, seconds_ago = self._quiet_after[instance], self._clock() - self._heard_at[instance]
            heard_at = clock.now().timestamp() - seconds_ago
            await store.set(_HEARD, str(instance), str(heard_at).encode(), ttl=limit)
            self._shared_at[instance] = self._clock()
            self._to_share.discard(instance)

    async def _ask(self, store: Store, instance: int, now: float) -> None:
        """Note that another router has heard of an instance; if none has, leave it to one to tell so."""
        limit = self._quiet_after[instance]
        heard_at = await store.get(_HEARD, str(instance))
        seconds_ago = inf if heard_at is None else clock.now().timestamp() - float(heard_at)
        if seconds_ago < limit:
            self._heard_at[instance] = max(self._heard_at[instance], now - max(0.0, seconds_ago))
            self._recover(instance)
        elif instance not in self._quiet:
            teller = await store.add(_TOLD, str(instance), b"", ttl=limit)
            if teller is not None and self._is_overdue(instance, now):
                self._quiet.add(instance)

    def _is_overdue(self, instance: int, now: float) -> bool:
        return now - self._heard_at[instance] >= self._quiet_after[instance]

    def _tell_others(self, instance: int) -> None:
        """Let it be shared that an instance was heard of, unless that was done a moment ago."""
        often = self._quiet_after[instance] * _OFTEN
        if self._clock() - self._shared_at.get(instance, -inf) >= often:
            self._to_share.add(instance)
            self._has_news.set()

    def _recover(self, instance: int) -> None:
        if instance in self._quiet:
            self._quiet.discard(instance)
            self._alerts.recover(AlertKind.QUIET, str(instance))

    def _note_state(self, event: Event, instance: int) -> None:
        state, changed_at = event.data.get("stateInstance"), event.timestamp or 0
        if state == _STARTING or changed_at < self._changed_at.get(instance, 0):
            return
        self._changed_at[instance] = changed_at
        if state == _AUTHORIZED:
            self._alerts.recover(AlertKind.INSTANCE_STATE, str(instance))
        else:
            self._alerts.report(
                AlertKind.INSTANCE_STATE, str(instance), idInstance=instance, stateInstance=state
            )

    def _notice_stranger(self, event: Event, instance: int) -> None:
        if instance not in self._strangers:
            self._strangers.add(instance)
            _log.warning("instance.unlisted", idInstance=instance, event_id=event.id)

"""Which instances are there: polled without trouble, authorized, heard of lately. Silence is told.

An account that stands still looks like an account to which nobody writes, unless somebody watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog
from anyio import CancelScope, sleep

from router import clock
from router.alerts import Alerts
from router.errors import InstanceNotReady
from router.events import AlertKind, Event

_log = structlog.get_logger("router.presence")

#: What ``stateInstance`` says when the instance works.
_AUTHORIZED = "authorized"
#: What says nothing yet: it will be authorized in a moment, or not.
_STARTING = "starting"


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

    async def run(self) -> None:
        """Miss instances that are quiet, until `stop`."""
        with CancelScope() as self._scope:
            while self._heard_at:
                look_again_at = self.miss()
                await sleep(max(0.0, look_again_at - self._clock()))

    def stop(self) -> None:
        """End `run`."""
        if self._scope is not None:
            self._scope.cancel()

    def miss(self) -> float:
        """Tell of each instance that has just been quiet for too long; return when to look again."""
        now = self._clock()
        for instance, heard_at in self._heard_at.items():
            limit = self._quiet_after[instance]
            if now - heard_at >= limit and instance not in self._quiet:
                self._quiet.add(instance)
                self._alerts.report(AlertKind.QUIET, str(instance), idInstance=instance, quiet_after=limit)
        return min(
            now + limit if instance in self._quiet else self._heard_at[instance] + limit
            for instance, limit in self._quiet_after.items()
        )

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

"""How long the router takes to stop, at most; whoever starts it has to wait for longer."""

from __future__ import annotations

from router.cli.running import _CONNECTION_GRACE, _LAST_GRACE


def longest_stop(shutdown_grace: float) -> float:
    """Return the seconds from SIGTERM to the end of the process, whatever its handlers do."""
    return _CONNECTION_GRACE + shutdown_grace + _LAST_GRACE

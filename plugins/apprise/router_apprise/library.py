"""How apprise is used: loaded without warnings, and its log, which may quote addresses, goes nowhere."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from apprise.plugins import N_MGR

_log = logging.getLogger("apprise")


class _Heard(logging.Handler):
    """Keeps what a thread's calls of apprise log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, if somebody in this thread listens."""
        texts: list[str] | None = getattr(self.here, "texts", None)
        if texts is not None:
            texts.append(record.getMessage())


_heard = _Heard()


def schemes() -> list[str]:
    """Return how the addresses of all services may begin; the first time, the services are loaded."""
    with warnings.catch_warnings():  # of modules that newer Pythons do not have, and apprise does without
        warnings.simplefilter("ignore", DeprecationWarning)
        known: list[str] = N_MGR.schemas()  # type: ignore[no-untyped-call]
    return known


def _keep_quiet() -> None:
    """Let apprise log nowhere else, and nothing below WARNING: that would be whole addresses and messages."""
    _log.handlers = [_heard]
    _log.propagate = False
    _log.setLevel(logging.WARNING)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Yield the list in which the warnings and errors of this thread will stand."""
    _keep_quiet()
    texts: list[str] = []
    _heard.here.texts = texts
    try:
        yield texts
    finally:
        _heard.here.texts = None

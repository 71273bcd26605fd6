from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import orjson
import pytest
import structlog

from router import logs
from router.config import LogFormat, LoggingSettings
from router.events import JsonObject
from router.redaction import Redactor
from tests.postgres import own_postgres, postgres_server, postgres_template, postgres_url, used_database

__all__ = ["own_postgres", "postgres_server", "postgres_template", "postgres_url", "used_database"]

T = TypeVar("T")


class Log:
    """Everything that was logged since `configure`."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()

    def configure(self, *secrets: str, stream: io.BytesIO | None = None, **settings: Any) -> None:
        """Take in all lines: JSON from DEBUG on, unless the settings say something else."""
        self.stream = stream or io.BytesIO()
        given = {"level": "DEBUG", "format": LogFormat.JSON, **settings}
        logs.configure(LoggingSettings(**given), Redactor(secrets), self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue().decode()

    @property
    def records(self) -> list[JsonObject]:
        return [orjson.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def events(self) -> list[tuple[str, str]]:
        """Level and event of each line of JSON."""
        return [(record["level"], record["event"]) for record in self.records]

    def named(self, event: str) -> list[JsonObject]:
        return [record for record in self.records if record["event"] == event]


@pytest.fixture
def log() -> Iterator[Log]:
    """Configure logging for one test; what it was before is restored."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log = Log()
    log.configure()
    yield log
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def eventually(condition: Callable[[], T | None], *, within: float = 30.0) -> T:
    """Ask another process until it has something to show; the deadline is for a broken one only."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within:g} s"
        time.sleep(0.02)
    return found

"""What is logged while a test runs, and logging as it was before."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import structlog

from router import logs
from router.config import LogFormat, LoggingSettings
from router.events import JsonObject
from router.redaction import Redactor


class Log:
    """Every line that was logged, from DEBUG on, as ``logging.format: json`` has it."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()

    @property
    def size(self) -> int:
        """Bytes that were logged."""
        return self._stream.tell()

    @property
    def lines(self) -> list[JsonObject]:
        """The lines, oldest first."""
        return [orjson.loads(line) for line in self._stream.getvalue().splitlines()]

    @contextmanager
    def taken(self, secrets: frozenset[str]) -> Iterator[None]:
        """Take in what is logged while the block lasts; pytest goes on to get its share."""
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        before = structlog.get_config() if structlog.is_configured() else None
        logs.configure(LoggingSettings(level="DEBUG", format=LogFormat.JSON), Redactor(secrets), self._stream)
        logging.captureWarnings(capture=False)  # they are pytest's
        root.handlers = [*root.handlers, *handlers]
        try:
            yield
        finally:
            root.handlers = handlers
            root.setLevel(level)
            structlog.reset_defaults()
            if before is not None:
                structlog.configure(**before)

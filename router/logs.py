"""Log lines: structlog and the standard library's logging, rendered by the same few functions.

Each line has ``timestamp`` (ISO 8601, UTC), ``level`` and ``event``; what a handler logs names its
delivery. Secrets are taken out of the finished line, whoever wrote it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from datetime import datetime
from textwrap import indent
from threading import RLock, get_ident
from typing import Any, BinaryIO

import orjson
import structlog

from router import clock
from router.config import LoggingSettings
from router.context import current_delivery
from router.jsontext import dump, harmless
from router.masking import HIDING
from router.redaction import Redactor

_Fields = MutableMapping[str, Any]

#: A value that needs no quotes on the console.
_PLAIN = re.compile(r"[\w.@:/+-]+")
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_NO_COLOUR = "\x1b[0m"
#: Lines of these methods may be written with the next ones, unless a handler wrote them.
_MAY_WAIT = frozenset({"debug", "info"})


def configure(
    settings: LoggingSettings, redact: Redactor, stream: BinaryIO | None = None, *, cache: bool = False
) -> Lines:
    """Send all log lines of this process to one stream; return what writes them.

    Args:
        settings: Level, format, and how much of a notification is shown.
        redact: Takes secrets out of each line.
        stream: Where lines go; standard error when left out.
        cache: Let loggers remember this configuration: faster, and final for the process.
    """
    stream = stream or sys.stderr.buffer
    renderer = _Renderer(settings, redact, colours=stream.isatty())
    lines = Lines(stream)
    level = logging.getLevelNamesMapping()[settings.level]
    structlog.configure(
        processors=[],
        wrapper_class=_bound_logger(level, renderer),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=cache,
    )
    root = logging.getLogger()
    root.handlers = [_Handler(renderer, lines)]
    root.setLevel(max(level, logging.INFO))
    logging.captureWarnings(capture=True)
    return lines


class Lines:
    """Writes lines, each whole. A log that cannot be written stops nobody's work."""

    def __init__(self, stream: BinaryIO) -> None:
        # Past the buffer: what a full disk did not take would stay in it, and spoil the exit code.
        self._stream = getattr(stream, "raw", stream)
        #: The last line is not whole, since the disk was full: the next one begins a line of its own.
        self._is_cut = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._waiting: list[bytes] = []
        self._lock = RLock()  # a signal handler may log in the middle of a line

    def write(self, line: bytes, *, may_wait: bool = False) -> None:
        """Write a line after those that wait: at once, or, if it may wait, at the end of the loop's turn."""
        with self._lock:
            self._waiting.append(line)
            if not may_wait or self._loop is None or get_ident() != self._thread:
                self._put_out()
            elif len(self._waiting) == 1:
                self._loop.call_soon(self._flush)

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Let lines wait for the others of a turn of the running loop, until the block ends."""
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        try:
            yield
        finally:
            self._loop = None
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            self._put_out()

    def _put_out(self) -> None:
        lines, self._waiting = b"".join(self._waiting), []
        if self._is_cut and lines:
            lines = b"\n" + lines
        with contextlib.suppress(OSError, ValueError):
            while lines:
                written = self._stream.write(lines)
                if not written:
                    return
                self._is_cut = not lines[:written].endswith(b"\n")
                lines = lines[written:]


def _bound_logger(level: int, renderer: _Renderer) -> type[structlog.typing.FilteringBoundLogger]:
    """Return structlog's logger for a level, without a chain of processors: the renderer does it all."""

    class BoundLogger(structlog.make_filtering_bound_logger(level)):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: Any = None, **fields: Any) -> None:
            line = renderer.from_structlog(method_name, event, {**self._context, **fields})
            may_wait = method_name in _MAY_WAIT and current_delivery.get() is None
            self._logger.write(line, may_wait=may_wait)

    return BoundLogger


class _Renderer:
    """Makes a line of the fields of a record."""

    def __init__(self, settings: LoggingSettings, redact: Redactor, *, colours: bool) -> None:
        self._redact = redact
        self._hide = HIDING[settings.notification]
        self._render = _json_line if settings.format == "json" else _ConsoleLine(colours=colours)

    def from_structlog(self, method: str, event: Any, fields: _Fields) -> bytes:
        """Render a record of structlog."""
        exc_info = fields.pop("exc_info", None)
        if exc_info:
            fields["exception"] = _exception(exc_info)
        return self.line(method.upper(), event, fields)

    def line(self, level: str, event: Any, fields: _Fields) -> bytes:
        """Return the finished line."""
        timestamp = clock.now()
        record: _Fields = {"timestamp": timestamp, "level": level, "event": event}
        delivery = current_delivery.get()
        if delivery is not None:
            record["event_id"] = delivery.event
            record["route"] = delivery.route
            record["handler"] = delivery.handler
            record["attempt"] = delivery.attempt
        record.update(fields)
        record["timestamp"], record["level"] = timestamp, level  # whatever a handler's fields are called
        exception = record.get("exception")
        if isinstance(exception, str):  # first of all, since on the console its lines are set off
            record["exception"] = self._redact(exception)
        if self._hide is not None:
            self._hide(record)
        return self._redact.in_bytes(self._render(record))


class _Handler(logging.Handler):
    """Takes records of the standard library's logging."""

    def __init__(self, renderer: _Renderer, lines: Lines) -> None:
        super().__init__()
        self._renderer = renderer
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; one that cannot be rendered is reported as `logging` does."""
        try:
            fields: _Fields = {"logger": record.name}
            if record.exc_info and record.exc_info[0]:
                fields["exception"] = _exception(record.exc_info)
            self._lines.write(self._renderer.line(record.levelname, _message(record), fields))
        except Exception:
            self.handleError(record)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # its arguments do not fit: `logging` would show them past the redaction
        return f"{record.msg} {record.args!r}"


# Rendering


def _exception(exc_info: Any) -> str:
    if isinstance(exc_info, BaseException):
        return "".join(traceback.format_exception(exc_info))
    if isinstance(exc_info, tuple):
        return "".join(traceback.format_exception(*exc_info))
    return traceback.format_exc()


def _json_line(record: _Fields) -> bytes:
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # one of its values is odd: the others are shown all the same
        record["timestamp"] = _iso(record["timestamp"])
        pairs = ",".join(f"{dump(str(name))}:{dump(value)}" for name, value in record.items())
        return f"{{{pairs}}}\n".encode("utf-8", "backslashreplace")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class _ConsoleLine:
    """For people: time, level, event, then ``name=value``; an exception on lines of its own."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = _COLOURS if colours else {}

    def __call__(self, record: _Fields) -> bytes:
        timestamp, level, event = record.pop("timestamp"), record.pop("level"), record.pop("event")
        exception = record.pop("exception", None)
        colour = self._colours.get(level)
        level = f"{colour}{level:<8}{_NO_COLOUR}" if colour else f"{level:<8}"
        pairs = [f"{_value(name)}={_value(value)}" for name, value in record.items() if value is not None]
        trail = f"\n{indent(_text(exception), '    ')}" if exception else ""
        line = " ".join([_iso(timestamp), level, _printable(event), *pairs])
        return f"{line}{trail}\n".encode("utf-8", "backslashreplace")


def _value(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return harmless(dump(value))


def _printable(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else harmless(dump(value))


def _text(value: Any) -> str:
    return harmless((value if isinstance(value, str) else dump(value)).rstrip())

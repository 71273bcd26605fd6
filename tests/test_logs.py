from __future__ import annotations

import asyncio
import io
import logging
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import structlog

from router import samples
from router.config.settings import LogFormat, LoggingSettings
from router.context import Delivery, current_delivery
from router.events import JsonObject
from router.logs import Lines, configure
from router.masking import mask_chat, masked
from router.redaction import Redactor
from tests.conftest import Log

SECRET = "d75b3a66374942c5b3c019c698abc2067e151558acbd412345"
FORMATS = ["json", "console"]

structured: structlog.typing.FilteringBoundLogger = structlog.get_logger("test")
standard = logging.getLogger("test.standard")


def lines(log: Log) -> list[str]:
    text = log.text
    assert text.endswith("\n")
    return text[:-1].split("\n")


def without_time(record: JsonObject) -> JsonObject:
    return {name: value for name, value in record.items() if name != "timestamp"}


# One line


def test_a_line_of_json_has_its_time_level_and_event_first(log: Log) -> None:
    before = datetime.now(UTC)
    structured.info("router.started", routes=["a", "b"], port=8080, nothing=None)
    (record,) = log.records
    assert list(record) == ["timestamp", "level", "event", "routes", "port", "nothing"]
    assert without_time(record) == {
        "level": "INFO",
        "event": "router.started",
        "routes": ["a", "b"],
        "port": 8080,
        "nothing": None,
    }
    assert record["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(record["timestamp"]) <= datetime.now(UTC)


def test_a_line_of_the_console_is_for_people(log: Log) -> None:
    log.configure(format="console")
    structured.warning("webhook.refused", reason="bad token", status=401, client="1.2.3.4", empty="", no=None)
    structured.error("odd", notification={"text": "Привет", "n": [1, None]})
    first, second = lines(log)
    time, first = first.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)
    assert first == 'WARNING  webhook.refused reason="bad token" status=401 client=1.2.3.4 empty=""'
    assert second.split(" ", 1)[1] == 'ERROR    odd notification={"text":"Привет","n":[1,null]}'


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_for_what_is_wrong_only(log: Log) -> None:
    log.configure(format="console", stream=Terminal())
    structured.info("fine")
    structured.warning("odd")
    structured.error("wrong")
    assert [line.split(" ", 1)[1] for line in lines(log)] == [
        "INFO     fine",
        "\x1b[33mWARNING \x1b[0m odd",
        "\x1b[31mERROR   \x1b[0m wrong",
    ]


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("DEBUG", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("INFO", ["INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("WARNING", ["WARNING", "ERROR", "CRITICAL"]),
        ("ERROR", ["ERROR", "CRITICAL"]),
        ("CRITICAL", ["CRITICAL"]),
    ],
)
def test_nothing_below_the_level_is_told(log: Log, level: str, told: list[str]) -> None:
    log.configure(level=level)
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(structured, name)(name)
        getattr(standard, name)(name)
    # Other libraries' debugging is nobody's business.
    assert log.events == [
        (line, line.lower())
        for line in ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
        for _ in range(2 if line != "DEBUG" else 1)
        if line in told
    ]


def test_an_exception_is_told_with_its_traceback(log: Log) -> None:
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError as exc:
        structured.exception("at hand")
        structured.error("given", exc_info=exc)
        structured.error("as a tuple", exc_info=sys.exc_info())
        standard.exception("standard")
    assert [record["event"] for record in log.records] == ["at hand", "given", "as a tuple", "standard"]
    for record in log.records:
        assert record["level"] == "ERROR"
        assert record["exception"].startswith("Traceback (most recent call last):\n")
        assert record["exception"].endswith("ZeroDivisionError: by zero\n")
        assert "exc_info" not in record


def test_the_console_shows_an_exception_below_its_line_and_set_off(log: Log) -> None:
    log.configure(format="console")
    try:
        raise ValueError("first\n2026-11-24T00:00:00.000000Z INFO     forged")
    except ValueError:
        structured.exception("failed", number=1)
    first, *trail = lines(log)
    assert first.endswith(" ERROR    failed number=1")
    assert trail[0] == "    Traceback (most recent call last):"
    assert trail[-1] == "    2026-11-24T00:00:00.000000Z INFO     forged"
    assert all(line.startswith("    ") for line in trail)


def test_other_libraries_lines_look_the_same(log: Log) -> None:
    standard.warning("took %d ms", 5)
    assert [without_time(record) for record in log.records] == [
        {"level": "WARNING", "event": "took 5 ms", "logger": "test.standard"}
    ]


def test_warnings_become_lines(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        log.configure()
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (record,) = log.records
    assert (record["level"], record["logger"]) == ("WARNING", "py.warnings")
    assert "DeprecationWarning: old ways" in record["event"]


# How much of a notification is shown

PERSONAL = re.compile(r"\d{5}")


def shown(log: Log, name: str) -> JsonObject:
    data = orjson.loads(samples.read(name))
    chat = data.get("senderData", {}).get("chatId")
    structured.info("notification.accepted", chatId=chat, notification=data)
    return log.records[-1]


@pytest.mark.parametrize("name", samples.names())
def test_full_shows_the_whole_notification(log: Log, name: str) -> None:
    log.configure(notification="full")
    assert shown(log, name)["notification"] == orjson.loads(samples.read(name))


@pytest.mark.parametrize("name", samples.names())
def test_masked_shows_its_shape(log: Log, name: str) -> None:
    log.configure(notification="masked")
    data = orjson.loads(samples.read(name))
    chat = data.get("senderData", {}).get("chatId")
    record = shown(log, name)
    assert record["notification"] == masked(data)
    assert record["chatId"] == (chat and mask_chat(chat))
    assert not private(data) & set(texts(record))


@pytest.mark.parametrize("name", samples.names())
def test_none_shows_nothing_of_it(log: Log, name: str) -> None:
    log.configure(notification="none")
    record = shown(log, name)
    assert list(record) == ["timestamp", "level", "event", "chatId"]
    assert not PERSONAL.search(str(record["chatId"]))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def private(data: JsonObject) -> set[str]:
    """Every text of a notification that a person wrote, is called, or can be reached by."""
    written = re.compile(r".*[\s@А-я].*|\+?\d{9,}|.{65,}", re.DOTALL)
    ids = set(re.findall(r'"(?:idMessage|stanzaId)":"([^"]*)"', orjson.dumps(data).decode()))
    return {text for text in texts(data) if written.fullmatch(text) and "codecs=" not in text} - ids


def test_masking_leaves_no_phone_number_in_a_line_in_either_format(log: Log) -> None:
    name = "incomingMessageReceived/wa-text-waba.json"
    phone = re.search(rb'"chatId": ?"(\d{9,})@', samples.read(name))
    assert phone is not None
    for format_ in FORMATS:
        for notification in ("masked", "none"):
            log.configure(format=format_, notification=notification)
            data = orjson.loads(samples.read(name))
            structured.info("x", chatId=data["senderData"]["chatId"], notification=data)
            assert phone[1].decode() not in log.text
            assert data["senderData"]["senderName"] not in log.text


@pytest.mark.parametrize("setting", ["masked", "none"])
def test_an_id_that_holds_a_chat_is_masked_wherever_it_stands(log: Log, setting: str) -> None:
    log.configure(notification=setting)
    structured.info(
        "x", chatId="79001234567@c.us", sender="79001234567@c.us", idMessage="true_79001234567@c.us_3EB0"
    )
    structured.info("x", chatId=None, idMessage="3EB0608D6A2901063D63")
    assert "79001234567" not in log.text
    assert log.records[0]["chatId"] == "*********67@c.us"
    assert (log.records[1]["chatId"], log.records[1]["idMessage"]) == (None, "3EB0608D6A2901063D63")


def test_of_a_body_that_is_no_json_masking_shows_the_length(log: Log) -> None:
    log.configure(notification="masked")
    structured.info("x", notification="my number is 79001234567")
    structured.info("x", notification=79001234567)
    structured.info("x", notification=[79001234567])
    assert [record["notification"] for record in log.records] == ["[24 characters]", "[int]", "[list]"]


# Secrets


def log_everywhere(secret: str) -> None:
    structured.info(f"event {secret}", field=secret, deep={"a": [{secret: secret}]}, **{f"a{secret}": 1})
    standard.warning("token %s", secret)
    standard.warning("token", extra={"token": secret})
    try:
        raise RuntimeError(f"GET https://api/waInstance1/receiveNotification/{secret}")
    except RuntimeError as exc:
        structured.exception(secret)
        structured.error("x", exc_info=exc, notification={"text": secret})
        standard.exception(secret)
    try:
        secret_in_a_cause()
    except KeyError:
        standard.exception("x")


def secret_in_a_cause() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as exc:
        raise KeyError("x") from exc


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("notification", ["full", "masked", "none"])
def test_no_line_shows_a_secret(log: Log, format_: str, notification: str) -> None:
    log.configure(SECRET, format=format_, notification=notification)
    log_everywhere(SECRET)
    assert SECRET not in log.text
    assert log.text.count("[secret]") >= 12


@pytest.mark.parametrize("format_", FORMATS)
def test_no_line_shows_a_secret_with_odd_characters(log: Log, format_: str) -> None:
    log.configure('pa"ss\\wörd\nof two lines\t', format=format_)
    log_everywhere('pa"ss\\wörd\nof two lines\t')
    assert not re.search(r"wörd|w\\u00f6rd|two lines\W", log.text)


def test_a_message_whose_arguments_do_not_fit_shows_no_secret_either(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(SECRET)
    standard.warning("token %d", SECRET)
    standard.warning("token", SECRET)
    assert [record["event"] for record in log.records] == [
        "token %d ('[secret]',)",
        "token ('[secret]',)",
    ]
    assert capsys.readouterr() == ("", "")


# Odd values


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def nested(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


def circle() -> JsonObject:
    value: JsonObject = {}
    value["self"] = value
    return value


ODD: dict[str, Any] = {
    "lone surrogate": "\ud83d",
    "lone surrogate in a key": {"\ud83d": 1},
    "300 levels": nested(300),
    "900 levels": nested(900),
    "100,000 levels": nested(100_000),
    "circle": circle(),
    "huge integer": 10**30,
    "integer that Python does not print": 10**5_000,
    "NaN": math.nan,
    "infinity": -math.inf,
    "bytes": b"\xff\n",
    "set": {1},
    "number as key": {1: 2},
    "tuple as key": {(1, 2): 3},
    "exception": ValueError("x"),
    "no text": Broken(),
    "no text, deep": {"a": [Broken()]},
    "NUL": "a\0b",
    "newlines": "a\nb\rc\r\nd\x0be\x0cf\x85g\u2028h\u2029i",
    "ANSI": "\x1b[2J\x1b]0;title\x07",
    "ANSI of 8 bits": "\x9b2J\x9d0;title\x9c",
    "backspaces": "abc\x08\x08\x08\x7f",
    "right to left": "\u202etxet",
    "ANSI, deep": {"\x9b2J": ["\x9b2J\x1b[2J"]},
    "1 MB": "x" * 1_000_000,
}
#: What steers a terminal, or ends a line; the newline at the end of each line is ours.
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@pytest.mark.parametrize("notification", ["full", "none"])
@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_an_odd_value_gives_one_line_of_json(log: Log, value: Any, notification: str) -> None:
    log.configure(notification=notification)
    structured.info("odd", value=value, good="kept")
    (line,) = lines(log)
    record = orjson.loads(line) if "levels" not in line else {"event": "odd", "good": "kept"}
    assert (record["event"], record["good"]) == ("odd", "kept")
    assert not re.search(r"[\x00-\x1f]", line)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_an_odd_value_gives_one_line_of_the_console_that_steers_nothing(log: Log, value: Any) -> None:
    log.configure(format="console")
    structured.info("odd", value=value, good="kept")
    (line,) = lines(log)
    assert line.split(" ", 1)[1].startswith("INFO     odd value=")
    assert line.endswith(" good=kept")
    assert not STEERING.search(line)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_an_odd_event_gives_one_line(log: Log, value: Any, format_: str) -> None:
    log.configure(format=format_)
    structured.info(value)
    (line,) = lines(log)
    assert not STEERING.search(line) or format_ == "json"


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("text", ["\x1b[2J\x9b2J", "a\nb\rc", "\ud83d"])
def test_odd_text_of_other_libraries_and_exceptions_steers_nothing(log: Log, format_: str, text: str) -> None:
    log.configure(format=format_)
    try:
        raise ValueError(text)
    except ValueError:
        standard.exception("%s", text)
        structured.exception(text, exception_of="x")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", log.text)
    if format_ == "console":
        assert not STEERING.search(log.text)
        assert all(re.match(r"2\d{3}-|    ", line) for line in lines(log))
    else:
        assert len(log.records) == 2


@pytest.mark.parametrize("format_", FORMATS)
def test_an_odd_name_of_a_field_steers_nothing(log: Log, format_: str) -> None:
    log.configure(format=format_)
    structured.info("odd", **{"a\nb \x1b[2J": 1, "\ud83d": 2, "": 3})
    (line,) = lines(log)
    assert not STEERING.search(line)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("value", [None, {}, "forged", 5], ids=str)
def test_a_field_cannot_take_the_place_of_time_and_level(log: Log, format_: str, value: Any) -> None:
    log.configure(format=format_)
    structured.info("x", timestamp=value, level=value)
    (line,) = lines(log)
    assert "INFO" in line
    assert "forged" not in line


@pytest.mark.parametrize("format_", FORMATS)
def test_a_line_without_an_event_is_a_line(log: Log, format_: str) -> None:
    log.configure(format=format_)
    structured.info(None, a=1)  # type: ignore[arg-type]
    (line,) = lines(log)
    assert "null" in line


class Full(io.BytesIO):
    def write(self, _: Any) -> int:
        raise OSError(28, "No space left on device")


def test_a_stream_that_is_closed_stops_nobody(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.stream.close()
    structured.error("lost")
    standard.error("lost")
    assert capsys.readouterr() == ("", "")


def test_a_disk_that_is_full_stops_nobody(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(stream=Full())
    structured.error("lost")
    standard.error("lost")
    assert capsys.readouterr() == ("", "")


def test_each_line_is_one_write(log: Log) -> None:
    writes: list[bytes] = []

    class Recording(io.BytesIO):
        def write(self, content: Any) -> int:
            writes.append(bytes(content))
            return len(content)

    log.configure(stream=Recording())
    structured.info("a")
    standard.info("b")
    assert [(write.count(b"\n"), write[-1:]) for write in writes] == [(1, b"\n"), (1, b"\n")]


# The delivery whose handler runs

DELIVERY = Delivery(7, "0190-1", "orders", "autoreply", 2)
NAMES = {"event_id": "0190-1", "route": "orders", "handler": "autoreply", "attempt": 2}


@pytest.fixture
def running() -> Iterator[None]:
    token = current_delivery.set(DELIVERY)
    yield
    current_delivery.reset(token)


def names(record: JsonObject) -> JsonObject:
    return {name: record[name] for name in NAMES}


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    "write", [lambda: structured.info("x"), lambda: standard.info("x")], ids=["structlog", "logging"]
)
def test_every_line_of_a_handler_names_its_delivery(log: Log, write: Callable[[], None]) -> None:
    write()
    (record,) = log.records
    assert names(record) == NAMES


async def test_a_handler_in_a_thread_names_its_delivery_too(log: Log) -> None:
    token = current_delivery.set(DELIVERY)
    await asyncio.to_thread(structured.info, "x")
    await asyncio.to_thread(standard.info, "x")
    current_delivery.reset(token)
    await asyncio.to_thread(structured.info, "x")
    assert [names(record) for record in log.records[:2]] == [NAMES, NAMES]
    assert "route" not in log.records[2]


# Lines that are written together


class Writes(io.BytesIO):
    """A stream that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[list[str]] = []

    def write(self, data: Any) -> int:
        self.written.append([orjson.loads(line)["event"] for line in bytes(data).splitlines()])
        return len(data)


@pytest.fixture
def writes(log: Log) -> Writes:
    return Writes()


def gathering(stream: Writes) -> Lines:
    return configure(LoggingSettings(level="DEBUG", format=LogFormat.JSON), Redactor([]), stream)


async def test_lines_of_one_turn_of_the_loop_are_written_together(writes: Writes) -> None:
    with gathering(writes).gathered():
        structured.info("one")
        structured.debug("two")
        before = list(writes.written)
        await asyncio.sleep(0)
        structured.info("three")

    assert before == []
    assert writes.written == [["one", "two"], ["three"]]


async def test_a_line_that_matters_is_written_at_once_and_after_those_before_it(writes: Writes) -> None:
    with gathering(writes).gathered():
        structured.info("one")
        structured.warning("two")
        token = current_delivery.set(Delivery(1, "e", "r", "h", 1))
        structured.info("of a handler")
        current_delivery.reset(token)
        structured.info("three")
        standard.info("of a library")
        seen = list(writes.written)

    assert seen == [["one", "two"], ["of a handler"], ["three", "of a library"]]


async def test_a_line_of_another_thread_is_written_at_once_and_after_those_before_it(writes: Writes) -> None:
    with gathering(writes).gathered():
        structured.info("one")
        await asyncio.to_thread(structured.info, "two")
        seen = list(writes.written)

    assert [line for lines in seen for line in lines] == ["one", "two"]


async def test_nothing_waits_after_the_loop(writes: Writes) -> None:
    lines = gathering(writes)
    with lines.gathered():
        structured.info("one")
    structured.info("two")

    assert writes.written == [["one"], ["two"]]


class SmallDisk(io.RawIOBase):
    """A file on a disk that takes so many bytes and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = bytes(data)[: self.room]
        self.room -= len(taken)
        self.content += taken
        return len(taken)


@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_that_a_full_disk_cut_off_does_not_spoil_the_next(log: Log, cut: int) -> None:
    disk = SmallDisk(10_000)
    stream = io.BufferedWriter(disk)
    configure(LoggingSettings(level="DEBUG", format=LogFormat.JSON), Redactor([]), stream)
    structured.info("one")
    disk.room = cut
    structured.info("cut off")
    structured.info("lost")
    disk.room = 10_000
    structured.info("two")
    structured.info("three")

    whole, cut_off, *others = disk.content.splitlines()
    assert orjson.loads(whole)["event"] == "one"
    assert len(cut_off) == cut
    assert [orjson.loads(line)["event"] for line in others] == ["two", "three"]
    stream.flush()  # nothing is left that would fail when the process ends


def test_a_disk_that_is_full_between_two_lines_cuts_none(log: Log) -> None:
    disk = SmallDisk(10_000)
    configure(LoggingSettings(level="DEBUG", format=LogFormat.JSON), Redactor([]), io.BufferedWriter(disk))
    structured.info("one")
    disk.room = 0
    structured.info("lost")
    disk.room = 10_000
    structured.info("two")

    assert [orjson.loads(line)["event"] for line in disk.content.splitlines()] == ["one", "two"]

"""A real ``router serve``, a sender that behaves as GREEN-API does, and a plugin that keeps a record.

The record is a file to which the handler appends a line when it starts and one when it ends, with
one ``write`` each: what a killed process wrote is kept by the kernel.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PLUGIN = """\
import os
from pathlib import Path

from router import hookimpl

record = os.open(Path(__file__).parent.parent / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


async def keep(event, context):
    text = event.text.encode()
    os.write(record, b"%d start %s\\n" % (os.getpid(), text))
    os.write(record, b"%d end %s\\n" % (os.getpid(), text))


@hookimpl
def register_handlers(register):
    register("keep", keep)
"""
ROUTES = """\
plugins_dir: plugins
inbox: {{url: "sqlite:///{inbox}"}}
logging: {{format: json}}
routes:
  - {{name: all, type: incomingMessageReceived, handler: keep}}
"""
#: Seconds to wait for what must happen soon.
PATIENCE = 30.0
_STARTED = re.compile(rb'"event":"router.started".*?"webhook":"http://127\.0\.0\.1:(\d+)')


class Router:
    """A router process on its own folder; it can be killed and started again."""

    def __init__(self, folder: Path, *, inbox: str = "router.db", wrap: Sequence[str] = ()) -> None:
        self.folder = folder
        self.log = folder / "log"
        self._wrap = wrap
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        (folder / "plugins").mkdir(parents=True, exist_ok=True)
        (folder / "plugins" / "keep.py").write_text(PLUGIN)
        (folder / "routes.yaml").write_text(ROUTES.format(inbox=inbox))

    def start(self, *, environ: dict[str, str] | None = None) -> None:
        """Start it and wait until it listens."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        command = [*self._wrap, sys.executable, "-m", "router", "serve", "--port", "0"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env={**os.environ, **(environ or {})}
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with self.log.open("rb") as log:
                log.seek(begin)
                found = _STARTED.search(log.read())
            if found:
                self.port = int(found[1])
                return
            assert self._process.poll() is None, f"the router ended: {self.tail()}"
            time.sleep(0.01)
        raise AssertionError(f"the router did not start: {self.tail()}")

    def kill(self) -> None:
        """Kill it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def tail(self) -> str:
        """Return the end of its log, for a failed assertion."""
        return self.log.read_bytes()[-2000:].decode("utf-8", "replace")

    def record(self) -> list[Line]:
        """Return what its handler did, in order, over all its lives."""
        path = self.folder / "record"
        return [Line.of(line) for line in path.read_text().splitlines()] if path.exists() else []


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the record: notification ``number`` of ``chat`` started or ended in process ``pid``."""

    pid: int
    what: str
    chat: str
    number: int

    @staticmethod
    def of(line: str) -> Line:
        pid, what, chat, number = line.split()
        return Line(int(pid), what, chat, int(number))


def notification(chat: str, number: int) -> bytes:
    """Return a text message: the ``number``-th of ``chat``, as its text says."""
    return json.dumps(
        {
            "typeWebhook": "incomingMessageReceived",
            "instanceData": {"idInstance": 1101000001, "wid": "71231234567@c.us", "typeInstance": "whatsapp"},
            "timestamp": 1588091580,
            "idMessage": f"{chat}-{number}",
            "senderData": {"chatId": f"{chat}@c.us", "sender": f"{chat}@c.us", "senderName": "Somebody"},
            "messageData": {
                "typeMessage": "textMessage",
                "textMessageData": {"textMessage": f"{chat} {number}"},
            },
        }
    ).encode()


@dataclass
class Sender:
    """Sends the notifications of each chat in order; the same one again until it is answered 200."""

    router: Router
    chats: Sequence[str]
    #: The number of the last notification of each chat that was answered 200.
    answered: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    refused: int = 0
    stopped: bool = False

    async def run(self) -> None:
        """Send until told to stop."""
        await asyncio.gather(*(self._send_chat(chat) for chat in self.chats))

    async def _send_chat(self, chat: str) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.stopped:
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.router.port)
                status = await _post(*connection, notification(chat, self.answered[chat] + 1))
            except (OSError, EOFError):
                if connection:
                    connection[1].close()
                connection = None
                await asyncio.sleep(0.01)  # GREEN-API would wait a minute
                continue
            if status == 200:
                self.answered[chat] += 1
            else:
                self.refused += 1
                await asyncio.sleep(0.05)
        if connection:
            connection[1].close()


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
    head = f"POST /webhook HTTP/1.1\r\nHost: router\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", answer)
    assert length, f"an answer without a length: {answer!r}"
    await reader.readexactly(int(length[1]))
    return int(answer.split(b" ", 2)[1])


async def delivered(router: Router, answered: dict[str, int]) -> None:
    """Wait until everything that was answered has been handled."""
    deadline = time.monotonic() + PATIENCE
    while True:
        ended = {(line.chat, line.number) for line in router.record() if line.what == "end"}
        missing = [
            (chat, number)
            for chat, last in answered.items()
            for number in range(1, last + 1)
            if (chat, number) not in ended
        ]
        if not missing:
            return
        assert time.monotonic() < deadline, f"answered 200 but not handled: {missing[:10]} of {len(missing)}"
        await asyncio.sleep(0.1)


def repeats(record: Iterable[Line]) -> int:
    """Return how many deliveries were begun more than once."""
    started = [(line.chat, line.number) for line in record if line.what == "start"]
    return len(started) - len(set(started))


def order_violations(record: Iterable[Line]) -> list[str]:
    """Return where a chat's notifications were not handled one at a time, in order, within one life.

    After a crash a life may begin again at what the last one had handled but not yet written down; so
    the numbers of a life ascend by one each, and no life begins beyond the next one due.
    """
    wrong: list[str] = []
    running: dict[tuple[int, str], int] = {}
    last: dict[tuple[int, str], int] = {}
    highest: dict[str, int] = defaultdict(int)
    for line in record:
        life = (line.pid, line.chat)
        if line.what == "end":
            running.pop(life, None)
            continue
        if life in running:
            wrong.append(f"{line} began while {running[life]} ran")
        due = last[life] + 1 if life in last else None
        if (due is not None and line.number != due) or line.number > highest[line.chat] + 1:
            wrong.append(f"{line} came after {due and due - 1} (highest so far {highest[line.chat]})")
        running[life] = last[life] = line.number
        highest[line.chat] = max(highest[line.chat], line.number)
    return wrong

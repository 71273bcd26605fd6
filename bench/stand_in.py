"""A stand-in for GREEN-API's queues, too quick to be what is measured: ``python -m bench.stand_in PORT``.

Each instance that is asked for has a queue. ``GET /begin`` makes a notification wait in each of them at any
time, ``GET /end`` none but those that were told and not deleted; it begins that way. ``GET /counts`` says
what it was asked for and gave; see `Counts`. There is no check of tokens.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast

import httptools
import orjson

#: Seconds for which a request without ``receiveTimeout`` is held.
_RECEIVE_TIMEOUT = 5
#: Chats of each instance.
_CHATS = 10
_ANSWER = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
_NOTIFICATION = (
    b'{"receiptId":%(number)d,"body":{"typeWebhook":"incomingMessageReceived","instanceData":{"idInstance":'
    b'%(instance)d,"wid":"71231234567@c.us","typeInstance":"whatsapp"},"timestamp":1588091580,"idMessage":'
    b'"%(instance)d-%(number)d","senderData":{"chatId":"%(chat)d@c.us","sender":"%(chat)d@c.us","chatName":'
    b'"Somebody","senderName":"Somebody"},"messageData":{"typeMessage":"textMessage","textMessageData":'
    b'{"textMessage":"Good morning to you all"}}}}'
)
_DELETED = b'{"result":true,"reason":""}'
_NOT_DELETED = b'{"result":false,"reason":"The notification was deleted, or its receiptId is another"}'


@dataclass(slots=True)
class Counts:
    """What happened since the start, and how things stand."""

    #: Requests of each method that were answered.
    receive: int = 0
    delete: int = 0
    #: Notifications that were deleted.
    deleted: int = 0
    #: Notifications that were told and not deleted yet.
    told: int = 0
    #: Requests that wait for a notification.
    held: int = 0
    #: The moments of the first notification since the last ``/begin`` and of the last deletion, in seconds.
    first_at: float = 0.0
    last_at: float = 0.0


class Queue:
    """The queue of one instance: all that can be seen of it is its head."""

    def __init__(self, instance: int) -> None:
        self.instance = instance
        self.number = 0
        self.is_told = False
        #: The requests that wait, each with the timer that will answer it.
        self.held: dict[Connection, asyncio.TimerHandle] = {}

    def head(self) -> bytes:
        """Return what ``receiveNotification`` answers."""
        chat = 79_000_000_000 + self.instance % 1_000_000 * _CHATS + self.number % _CHATS
        values = {b"number": self.number, b"instance": self.instance, b"chat": chat}
        return _NOTIFICATION % values


class StandIn:
    """All queues."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._queues: dict[bytes, Queue] = {}
        self._is_flowing = False

    def answer(self, connection: Connection, url: bytes) -> None:
        """Answer one request, or hold it."""
        path, _, query = url.partition(b"?")
        match path.split(b"/"):
            case [_, account, b"receiveNotification", _]:
                seconds = float(query.rpartition(b"=")[2] or _RECEIVE_TIMEOUT)
                self._receive(connection, self._queue(account), seconds)
            case [_, account, b"deleteNotification", _, receipt]:
                connection.send(self._delete(self._queue(account), receipt))
            case [_, b"counts"]:
                connection.send(orjson.dumps(asdict(self.counts)))
            case [_, b"begin"]:
                self._begin()
                connection.send(b"{}")
            case [_, b"end"]:
                self._is_flowing = False
                connection.send(b"{}")
            case _:
                connection.send(b"", b"404 Not Found")

    def forget(self, connection: Connection, queue: Queue) -> None:
        """Take in that a request is held no longer."""
        timer = queue.held.pop(connection, None)
        if timer is not None:
            timer.cancel()
            self.counts.held -= 1

    def _queue(self, account: bytes) -> Queue:
        if account not in self._queues:
            self._queues[account] = Queue(int(account.removeprefix(b"waInstance")))
        return self._queues[account]

    def _receive(self, connection: Connection, queue: Queue, seconds: float) -> None:
        if queue.is_told or self._is_flowing:
            self._tell(connection, queue)
        else:
            connection.queue = queue
            queue.held[connection] = asyncio.get_running_loop().call_later(
                seconds, self._tell_none, connection, queue
            )
            self.counts.held += 1

    def _tell_none(self, connection: Connection, queue: Queue) -> None:
        self.forget(connection, queue)
        self.counts.receive += 1
        connection.send(b"null")

    def _tell(self, connection: Connection, queue: Queue) -> None:
        if not queue.is_told:
            queue.is_told = True
            queue.number += 1
            self.counts.told += 1
            self.counts.first_at = self.counts.first_at or time.monotonic()
        self.counts.receive += 1
        connection.send(queue.head())

    def _delete(self, queue: Queue, receipt: bytes) -> bytes:
        self.counts.delete += 1
        if not queue.is_told or receipt != b"%d" % queue.number:
            return _NOT_DELETED
        queue.is_told = False
        self.counts.told -= 1
        self.counts.deleted += 1
        self.counts.last_at = time.monotonic()
        return _DELETED

    def _begin(self) -> None:
        self._is_flowing = True
        self.counts.first_at = 0.0
        for queue in self._queues.values():
            for connection in list(queue.held):
                self.forget(connection, queue)
                self._tell(connection, queue)


class Connection(asyncio.Protocol):
    """Reads requests, one after the other."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        #: The last one that a request was held for.
        self.queue: Queue | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self.queue is not None:
            self._stand_in.forget(self, self.queue)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """Take in a piece of the URL."""
        self._url += url

    def on_message_complete(self) -> None:
        """Answer the request."""
        self._stand_in.answer(self, self._url)

    def send(self, body: bytes, status: bytes = b"200 OK") -> None:
        """Answer the request."""
        self._transport.write(_ANSWER % (status, len(body), body))
        if not self._parser.should_keep_alive():
            self._transport.close()


async def serve(port: int) -> None:
    """Answer on this port of loopback, for ever."""
    stand_in = StandIn()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(stand_in), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))

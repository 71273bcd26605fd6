"""A TCP proxy between a replica and its database that lets the way go wrong; nobody has to be root."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

#: Bytes that are passed on at once, and pieces that are on their way at once.
_MOST, _PIECES = 65536, 256
#: Close by a reset: what was not sent yet is thrown away.
_LINGER = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Way:
    """One of the two directions, of all connections."""

    is_swallowing: bool = False
    #: The next piece of at least so many bytes is passed on by half, and nothing after it.
    breaks_at: int | None = None
    #: Bytes that were thrown away.
    swallowed: int = 0

    def through(self, piece: bytes) -> bytes:
        """Return what arrives of a piece."""
        arrives = b"" if self.is_swallowing else piece
        if arrives and self.breaks_at is not None and len(piece) >= self.breaks_at:
            self.is_swallowing = True
            arrives = piece[: len(piece) // 2]
        self.swallowed += len(piece) - len(arrives)
        return arrives


@dataclass(eq=False)
class _Connection:
    """A replica's connection and the one to the database that belongs to it."""

    near: StreamWriter
    far: StreamWriter
    is_half_closed: bool = False

    def abort(self) -> None:
        """Reset both."""
        for writer in (self.near, self.far):
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            writer.transport.abort()


@dataclass
class Proxy:
    """A port that leads to a server; as a context it is open until the block ends, in a thread of its own.

    Args:
        host: Of the server.
        port: Of the server.
    """

    host: str
    port: int
    #: Seconds that every piece is on its way, in each direction.
    latency: float = 0.0
    #: Bytes in a second, for each connection in each direction; 0: any number.
    rate: int = 0
    #: Connections that were asked for, and those of them that were refused.
    asked: int = 0
    refused: int = 0
    _requests: _Way = field(default_factory=_Way)
    _answers: _Way = field(default_factory=_Way)
    _connections: set[_Connection] = field(default_factory=set)
    _is_refusing: bool = False

    def __enter__(self) -> Proxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        opened = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        )
        self._server = opened.result()
        self._open_port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def leads_to(self, url: str) -> str:
        """Return the URL of the same database by way of this proxy."""
        there = urlsplit(url)
        user, at, _ = there.netloc.rpartition("@")
        return urlunsplit(there._replace(netloc=f"{user}{at}127.0.0.1:{self._open_port}"))

    @property
    def swallowed(self) -> int:
        """Bytes that were thrown away."""
        return self._requests.swallowed + self._answers.swallowed

    # Faults

    def swallow(self) -> None:
        """Be a black hole: take connections and all that comes, and pass on nothing."""
        self._now(self._swallow, self._requests, self._answers)

    def swallow_answers(self) -> None:
        """Pass on what the database is asked, and nothing of what it answers."""
        self._now(self._swallow, self._answers)

    def break_request(self, least: int) -> None:
        """Be a black hole from the middle of the next request on that has at least so many bytes."""
        self._requests.breaks_at = least

    def refuse(self) -> None:
        """Take no connection, and reset those there are."""
        self._is_refusing = True
        self.reset()

    def reset(self) -> None:
        """Reset all connections."""
        self._now(self._reset)

    def half_close(self) -> None:
        """Tell the replica that its database sends nothing more, and pass on what the replica sends."""
        self._now(self._half_close)

    def heal(self) -> None:
        """Work again. Connections of which something is missing are reset."""
        self._now(self._heal)

    def _now(self, change: Callable[..., None], *arguments: object) -> None:
        """Change something in the thread, and wait until it is changed."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(change, *arguments)
        self._loop.call_soon_threadsafe(done.set)
        done.wait()

    def _swallow(self, *ways: _Way) -> None:
        for way in ways:
            way.is_swallowing = True

    def _reset(self) -> None:
        for connection in self._connections:
            connection.abort()

    def _half_close(self) -> None:
        for connection in self._connections:
            connection.is_half_closed = True
            connection.near.write_eof()

    def _heal(self) -> None:
        self._is_refusing = False
        for connection in self._connections:
            if connection.is_half_closed or self._requests.is_swallowing or self._answers.is_swallowing:
                connection.abort()
        for way in (self._requests, self._answers):
            way.is_swallowing, way.breaks_at = False, None

    # In the thread

    async def _close(self) -> None:
        self._server.close()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: StreamReader, near: StreamWriter) -> None:
        self.asked += 1
        connection = _Connection(near, near)
        try:
            if self._is_refusing:
                self.refused += 1
                return
            back, connection.far = await asyncio.open_connection(self.host, self.port)
            self._connections.add(connection)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass_on(reader, connection, connection.far, self._requests))
                ways.create_task(self._pass_on(back, connection, near, self._answers))
        except* OSError:
            pass
        finally:
            self._connections.discard(connection)
            connection.abort()

    async def _pass_on(
        self, source: StreamReader, connection: _Connection, to: StreamWriter, way: _Way
    ) -> None:
        """Pass on one direction to its end, which is passed on as well."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read(source, pieces))
            while (piece := await self._next(pieces)) and not to.is_closing():
                arrives = way.through(piece)
                if arrives and not (connection.is_half_closed and way is self._answers):
                    to.write(arrives)
                    await to.drain()
            if not way.is_swallowing and to.can_write_eof():
                to.write_eof()

    async def _read(self, source: StreamReader, pieces: asyncio.Queue[tuple[float, bytes]]) -> None:
        while data := await source.read(_MOST):
            await pieces.put((self._loop.time() + self.latency, data))
        await pieces.put((self._loop.time() + self.latency, b""))

    async def _next(self, pieces: asyncio.Queue[tuple[float, bytes]]) -> bytes:
        """Return the next piece when it has arrived."""
        due, piece = await pieces.get()
        await asyncio.sleep(due - self._loop.time())
        if self.rate:
            await asyncio.sleep(len(piece) / self.rate)
        return piece

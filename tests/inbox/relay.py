"""Stands between a store and its database, and lets the network go wrong."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg.conninfo import conninfo_to_dict

#: Bytes that are passed on at once.
_MOST = 65536


class Relay:
    """A port that leads to the database.

    Args:
        url: Of the database.
    """

    def __init__(self, url: str) -> None:
        self._there = conninfo_to_dict(url)
        self._writers: set[StreamWriter] = set()
        self._is_refusing = self._is_swallowing = False
        self._to_lose = 0
        #: Connections that were asked for while none was to be had.
        self.attempts = 0
        #: Answers that were lost.
        self.lost = 0
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user, name = self._there["user"], self._there["dbname"]
        self.url = f"postgresql://{user}@127.0.0.1:{port}/{name}"
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def lose_answers(self, times: int) -> None:
        """Cut the connection instead of passing on the next answers of the database."""
        self._to_lose = times

    def refuse(self) -> None:
        """Take no connection, and cut those that carry something."""
        self._is_refusing = True
        if not self._to_lose:
            self.cut()

    def swallow(self) -> None:
        """Pass on nothing, and keep the connections."""
        self._is_swallowing = True

    def accept(self) -> None:
        """Work again: with new connections."""
        self._is_refusing = self._is_swallowing = False
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._is_refusing:
            self.attempts += 1
            writer.close()
            return
        back, there = await asyncio.open_connection(str(self._there["host"]), str(self._there["port"]))
        both = {writer, there}
        self._writers |= both
        try:
            await asyncio.wait(
                {
                    asyncio.ensure_future(self._pass(reader, there)),
                    asyncio.ensure_future(self._pass(back, writer, is_answer=True)),
                },
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._writers -= both
            for one in both:
                one.close()

    async def _pass(self, source: StreamReader, to: StreamWriter, *, is_answer: bool = False) -> None:
        with suppress(ConnectionError):
            while data := await source.read(_MOST):
                if is_answer and self._to_lose:
                    self._to_lose -= 1
                    self.lost += 1
                    return
                if not self._is_swallowing:
                    to.write(data)
                    await to.drain()

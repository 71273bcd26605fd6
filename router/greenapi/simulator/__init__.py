"""A GREEN-API on this machine: its HTTP API and its webhook sender, to develop and to test against.

What is known of GREEN-API it does as GREEN-API does, only faster if told so, and wrongly if told so.
"""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from aiohttp import web

from router.greenapi.simulator import traffic
from router.greenapi.simulator.account import Account, Sent
from router.greenapi.simulator.answers import Answers
from router.greenapi.simulator.clock import Clock
from router.greenapi.simulator.faults import FAULTS, Faults, UnknownFault
from router.greenapi.simulator.http import Api, request_of
from router.greenapi.simulator.sender import senders

__all__ = ["FAULTS", "Account", "Sent", "Simulator", "UnknownFault"]

_FIRST_ID = 1101000001
#: Connections that wait to be accepted.
_BACKLOG = 2048
#: Seconds that answers under way get at the end.
_GRACE = 0.1


class Simulator:
    """Instances of GREEN-API, and the API that serves them.

    Args:
        speed: How many times faster than GREEN-API's its times run: pauses, waits, rates, the day for which
            a notification is kept. With 60 a notification is posted again after a second, not a minute.
        seed: Decides ids, traffic and faults.
        faults: What goes wrong, by its name in ``FAULTS``, and how likely: from 0 to 1.
        tell: Takes a line about each thing that happens.
        now: Gives the time in seconds, from any moment.

    Raises:
        UnknownFault: There is no such fault, or its probability is none.
        ValueError: The speed is not above 0.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        seed: int = 0,
        faults: Mapping[str, float] | None = None,
        tell: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = Clock(speed, now)
        self.seed = seed
        self._faults = faults or {}
        self._tell = tell
        self._accounts: dict[int, Account] = {}
        self._start_sender: Callable[[Account], None] = _not_yet
        #: What the next calls are answered instead of what they would be.
        self.answers = Answers()
        #: Where it is served, such as ``http://127.0.0.1:8090``.
        self.url = ""
        Faults(self._faults, "", speed)

    @property
    def accounts(self) -> list[Account]:
        """The instances, in the order in which they were added."""
        return list(self._accounts.values())

    def add(
        self,
        id_instance: int | None = None,
        *,
        token: str | None = None,
        settings: Mapping[str, Any] | None = None,
        state: str = "authorized",
        messenger: str = "whatsapp",
    ) -> Account:
        """Add an instance.

        Args:
            id_instance: ``idInstance``; by default the next after 1101000001.
            token: ``apiTokenInstance``; by default one that is the same for the same id.
            settings: Some of ``setSettings``; by default everything is told, and nothing is posted.
            state: ``stateInstance``.
            messenger: ``typeInstance``: ``whatsapp``, ``telegram``, or ``v3``, which is MAX.

        Raises:
            ValueError: There is an instance of this id, or there is no such setting or value.
        """
        number = id_instance or max([_FIRST_ID - 1, *self._accounts]) + 1
        if number in self._accounts:
            raise ValueError(f"there is an instance {number} already")
        account = Account(
            number,
            clock=self._clock,
            faults=Faults(self._faults, f"{self.seed} {number}", self._clock.speed),
            random=Random(f"ids {self.seed} {number}"),
            token=token,
            settings=settings,
            state=state,
            messenger=messenger,
            tell=self._tell,
        )
        self._accounts[number] = account
        self._start_sender(account)
        return account

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve until the end of the block; yields the address. Port 0 is any that is free.

        Raises:
            OSError: The address cannot be had.
        """
        async with self.serve_on(socket.create_server((host, port), backlog=_BACKLOG)) as url:
            yield url

    @asynccontextmanager
    async def serve_on(self, listener: socket.socket) -> AsyncIterator[str]:
        """Serve on a socket, which is closed at the end of the block; yields the address."""
        server = web.Server(
            Api(self._accounts, self.answers).handle,
            request_factory=request_of,
            handler_cancellation=True,  # whoever hangs up no longer waits for a notification
            access_log=None,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            await web.SockSite(runner, listener, backlog=_BACKLOG).start()
            self.url = _address(listener)
            async with senders() as self._start_sender:
                for account in self._accounts.values():
                    self._start_sender(account)
                yield self.url
        finally:
            self._start_sender = _not_yet
            self._clock.stop()
            await runner.cleanup()

    async def traffic(self, *, rate: float = 1.0, chats: int = 5, count: int | None = None) -> None:
        """Let notifications happen, to any of the instances, in random chats.

        Args:
            rate: How many in a second, all instances together.
            chats: How many each instance has.
            count: How many in all; without end by default.

        Raises:
            ValueError: There is no instance yet, or the rate is not above 0.
        """
        if not self._accounts or not rate > 0:
            raise ValueError(
                f"traffic needs an instance and a rate above 0; found {len(self._accounts)} and {rate:g}"
            )
        await traffic.run(self.accounts, rate=rate, chats=chats, seed=self.seed, count=count)


def _not_yet(_: Account) -> None:
    """Start no sender: that is done when it is served."""


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from router.errors import GreenApiError
from router.greenapi.client import GreenApi
from router.greenapi.sending import Sending, current_sending
from tests.greenapi.scripted import SILENCE, Answering, Reply, Scripted, in_turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def call(answer: Answering, method: str = "sendMessage") -> AsyncIterator[tuple[Sending, Scripted]]:
    """Call a method until the end of the block; yields what is known of the call."""
    sending = Sending()
    async with Scripted(answer).serving() as server, GreenApi() as green_api:
        api = green_api.instance(1101000001, server.url, "token")
        current_sending.set(sending)
        call = asyncio.create_task(api.call(method))
        yield sending, server
        call.cancel()
        with suppress(asyncio.CancelledError, GreenApiError):
            await call


async def until(sending: Sending, server: Scripted, *, requests: int, may_be_done: bool) -> None:
    while len(server.requests) < requests or sending.may_be_done is not may_be_done:
        await asyncio.sleep(0.001)


async def test_a_call_whose_answer_is_not_there_may_be_done() -> None:
    async with call(in_turn(SILENCE)) as (sending, server):
        await asyncio.sleep(0)
        assert not sending.may_be_done
        await until(sending, server, requests=1, may_be_done=True)


async def test_a_call_that_was_refused_and_waits_to_be_repeated_is_not_done() -> None:
    async with call(in_turn(Reply(429), SILENCE)) as (sending, server):
        await until(sending, server, requests=1, may_be_done=False)
        await until(sending, server, requests=2, may_be_done=True)

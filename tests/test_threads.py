"""Threads for ``def`` handlers: bounded, reused, and no obstacle to the end of the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from router.threads import Threads


async def test_calls_run_in_threads_that_are_used_again() -> None:
    threads = Threads("t", 4)
    seen = set()
    for _ in range(5):
        seen.add(await (await threads.begin(threading.get_ident)))

    assert len(seen) == 1
    assert threading.get_ident() not in seen


async def test_there_are_no_more_at_once_than_allowed() -> None:
    threads = Threads("t", 2)
    release = threading.Event()
    first, second = [await threads.begin(lambda: release.wait(10)) for _ in range(2)]
    third = asyncio.ensure_future(threads.begin(lambda: "third"))
    for _ in range(5):
        await asyncio.sleep(0)
    waits = not third.done()
    release.set()

    assert waits
    assert await first
    assert await second
    assert await (await third) == "third"


async def test_one_that_waits_for_a_thread_and_is_cancelled_leaves_it_to_the_next() -> None:
    threads = Threads("t", 1)
    release = threading.Event()
    await threads.begin(lambda: release.wait(10))
    cancelled = asyncio.ensure_future(threads.begin(lambda: "never"))
    next_one = asyncio.ensure_future(threads.begin(lambda: "next"))
    await asyncio.sleep(0)

    cancelled.cancel()
    release.set()

    assert await (await next_one) == "next"
    assert cancelled.cancelled()


class Odd(BaseException):
    """Not an Exception."""


@pytest.mark.parametrize("error", [ValueError("no"), Odd("no"), KeyboardInterrupt()])
async def test_whatever_is_raised_is_the_outcome(error: BaseException) -> None:
    def call() -> None:
        raise error

    outcome = await Threads("t", 1).begin(call)

    await asyncio.wait([outcome])
    assert outcome.exception() is error


async def test_stop_iteration_which_no_future_takes_is_an_error_as_well() -> None:
    outcome = await Threads("t", 1).begin(lambda: next(iter(())))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await outcome


async def test_the_context_is_that_of_the_caller() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("here")

    assert await (await Threads("t", 1).begin(variable.get)) == "here"


def test_a_call_that_never_ends_does_not_keep_the_process_alive() -> None:
    program = (
        "import asyncio, threading\n"
        "from router.threads import Threads\n"
        "async def main(): await Threads('t', 1).begin(threading.Event().wait)\n"
        "asyncio.run(main())\n"
        "print('ended')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )

    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "ended", "")

"""The fixtures that come with the router, as the tests of a plugin find them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from router import Context, RegisterHandler, hookimpl
from router.greenapi.simulator import Simulator
from router.testing import StartRouter, make_event
from tests.test_docs import DOCS, ROOT, blocks

PAGE = DOCS / "how-to" / "try-without-an-account.md"


async def test_green_api_is_served_in_the_test(green_api: Simulator) -> None:
    shop = green_api.add()
    url = f"{green_api.url}/waInstance{shop.id}/getStateInstance/{shop.token}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert await answer.json() == {"stateInstance": "authorized"}


async def test_each_test_has_a_green_api_of_its_own(green_api: Simulator) -> None:
    assert green_api.accounts == []


class Greeter:
    """A plugin."""

    @hookimpl
    def register_handlers(self, register: RegisterHandler) -> None:
        async def greet(context: Context) -> None:
            await context.reply("Hello")

        register("greet", greet)


ROUTES = [{"name": "greetings", "type": "*", "handler": "greet"}]


async def test_a_router_runs_in_the_test(router_harness: StartRouter) -> None:
    router = await router_harness(ROUTES, plugins=[Greeter])
    await router.send(make_event())
    await router.settle()
    router.assert_replied("Hello")


class Ending(Greeter):
    """Tells that the router has ended."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    @hookimpl
    async def shutdown(self) -> None:
        self._told.append("shutdown")


@pytest.fixture
def told() -> Iterator[list[str]]:
    told: list[str] = []
    yield told
    assert told == ["shutdown"]


async def test_a_router_ends_with_its_test(told: list[str], router_harness: StartRouter) -> None:
    await router_harness(ROUTES, plugins=[Ending(told)])
    assert told == []


def test_a_router_runs_in_the_tests_of_who_has_set_up_nothing(tmp_path: Path) -> None:
    ended = pytest_of(
        tmp_path,
        "test_it.py",
        "import pytest\n"
        "from router.testing import make_event\n"
        "from tests.test_pytest_plugin import ROUTES, Greeter\n"
        "@pytest.mark.anyio\n"
        "async def test_it(router_harness):\n"
        "    router = await router_harness(ROUTES, plugins=[Greeter])\n"
        "    await router.send(make_event())\n"
        "    await router.settle()\n"
        "    router.assert_no_reply()\n",
    )
    assert "expected no reply, found 'Hello'" in ended.stdout
    assert "test_it.py:9: AssertionError" in ended.stdout  # the test's line, not one of ours
    assert "1 failed in" in ended.stdout


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    (block,) = (block for block in blocks(PAGE) if block.file)
    ended = pytest_of(tmp_path, str(block.file), block.text)
    assert (ended.returncode, "2 passed" in ended.stdout) == (0, True), ended.stdout


def test_who_does_not_use_it_does_not_load_it(tmp_path: Path) -> None:
    ended = pytest_of(
        tmp_path,
        "test_it.py",
        "import sys\n\nLOADED = {'aiohttp', 'structlog', 'router.greenapi'}\n\n"
        "def test_it():\n    assert not LOADED & sys.modules.keys()\n",
    )
    assert ended.returncode == 0, ended.stdout


def pytest_of(folder: Path, name: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run a test file as somebody does who has set up nothing."""
    (folder / name).write_text(text, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not trio"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=50, check=False
    )

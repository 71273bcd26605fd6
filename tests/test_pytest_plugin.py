"""The fixtures that come with the router, as the tests of a plugin find them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import aiohttp

from router.greenapi.simulator import Simulator
from tests.test_docs import DOCS, blocks

PAGE = DOCS / "how-to" / "try-without-an-account.md"


async def test_green_api_is_served_in_the_test(green_api: Simulator) -> None:
    shop = green_api.add()
    url = f"{green_api.url}/waInstance{shop.id}/getStateInstance/{shop.token}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert await answer.json() == {"stateInstance": "authorized"}


async def test_each_test_has_a_green_api_of_its_own(green_api: Simulator) -> None:
    assert green_api.accounts == []


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
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)

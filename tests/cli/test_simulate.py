from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.cli.conftest import Command, Server
from tests.conftest import eventually


class Simulation:
    """A real ``router simulate`` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._out = folder / "simulate.out"
        command = [sys.executable, "-m", "router", "simulate", "--port", "0", *arguments]
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)

    @property
    def out(self) -> str:
        return self._out.read_text()

    def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line."""
        return eventually(lambda: re.search(pattern, self.out, re.MULTILINE))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Simulation]]:
    simulations: list[Simulation] = []
    yield simulations
    for simulation in simulations:
        simulation.process.kill()
        simulation.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
async def test_it_says_what_to_put_into_routes_yaml_and_what_happens(
    started: list[Simulation], tmp_path: Path, number: signal.Signals
) -> None:
    simulation = Simulation(tmp_path, "--instances", "2", "--rate", "1000", "--count", "3", "--seed", "7")
    started.append(simulation)
    await asyncio.to_thread(simulation.line, "queued")
    settings = yaml.safe_load(simulation.out.partition("\n\n")[2].partition("\n\n")[0])
    shop = settings["instances"][0]
    assert [each["transport"] for each in settings["instances"]] == ["polling"] * 2
    async with aiohttp.ClientSession() as session:
        url = f"{shop['api_url']}/waInstance{shop['id']}"
        async with session.get(f"{url}/getStateInstance/{shop['token']}") as answer:
            assert answer.status == 200
    await asyncio.to_thread(eventually, lambda: simulation.out.count(" queued ") == 3)
    assert simulation.stop(number) == 0
    assert simulation.out.splitlines()[-1] == (
        "3 queued, 0 deleted, 3 waiting, 0 sent; webhooks answered 200: 0, otherwise: 0"
    )
    assert "Traceback" not in simulation.out


def test_it_posts_to_a_router(started: list[Simulation], tmp_path: Path, server: Server) -> None:
    webhook = ("--webhook", server.url, "--webhook-token", "of-the-router")
    started.append(Simulation(tmp_path, *webhook, "--rate", "100", "--count", "2", "--seed", "8"))
    started[0].line(" posted 2 to .*: answered 200 in ")
    assert started[0].stop() == 0
    assert 'webhook: {token: "of-the-router"}' in started[0].out
    assert "transport: webhook" in started[0].out
    assert started[0].out.endswith(
        "2 queued, 2 deleted, 0 waiting, 0 sent; webhooks answered 200: 2, otherwise: 0\n"
    )


def test_it_may_be_quiet(started: list[Simulation], tmp_path: Path) -> None:
    started.append(Simulation(tmp_path, "--quiet", "--rate", "0"))
    started[0].line("^  - {id: ")
    assert started[0].stop() == 0
    assert "queued 1" not in started[0].out
    assert started[0].out.splitlines()[-1].startswith("0 queued")


def test_the_same_seed_makes_the_same_lines(started: list[Simulation], tmp_path: Path) -> None:
    outs = []
    for _ in range(2):
        started.append(Simulation(tmp_path, "--seed", "7", "--rate", "1000", "--count", "30"))
        started[-1].line(" queued 25: ")
        started[-1].stop()
        outs.append([line for line in started[-1].out.splitlines() if " queued " in line][:25])
    assert outs[0] == outs[1]


def test_a_port_in_use_is_told_as_serve_tells_it(router: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = router("simulate", "--port", str(port))
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port or --host\n"
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--fault", "duplicates=0.1"), "no fault is named 'duplicates'; faults are"),
        (("--fault", "slow"), "expected a name and a probability, such as duplicate=0.1"),
        (("--fault", "slow=2"), "fault slow: probability 2; expected 0 to 1"),
        (("--webhook", "127.0.0.1:8080"), "expected a URL such as"),
        (("--speed", "0"), "--speed"),
        (("--instances", "0"), "--instances"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_usage(router: Command, wrong: tuple[str, ...], told: str) -> None:
    ended = router("simulate", "--port", "0", *wrong)
    assert ended.code == 2
    assert told in " ".join(ended.err.replace("│", " ").split())

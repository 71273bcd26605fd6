"""GREEN-API's own client for Python, unchanged, against ``router simulate``, a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.conftest import eventually

pytestmark = pytest.mark.system

#: Made by ``make test-system``.
PYTHON = Path(__file__).parent / ".venv" / "bin" / "python"
#: The client as its README shows it, with the address of the simulator for GREEN-API's. It answers one
#: message, and ends once it has seen so many notifications.
SCRIPT = """
import json, sys
from whatsapp_api_client_python import API

id_instance, token, url, count = sys.argv[1:]
greenAPI = API.GreenAPI(id_instance, token, host=url, media=url)
sent, seen = [], []


def onEvent(typeWebhook, body):
    seen.append([typeWebhook, body["idMessage"], body.get("status", "")])
    if typeWebhook == "incomingMessageReceived" and not sent:
        answer = greenAPI.sending.sendMessage(body["senderData"]["chatId"], "Got it")
        assert answer.code == 200, answer.error
        sent.append(answer.data["idMessage"])
    if len(seen) == int(count):
        greenAPI.webhooks.stopReceivingNotifications()


greenAPI.webhooks.startReceivingNotifications(onEvent)
kind = greenAPI.account.getSettings().data["typeInstance"]
waiting = greenAPI.queues.getWebhooksCount().data["count"]
print(json.dumps({"seen": seen, "sent": sent, "type": kind, "waiting": waiting}))
"""
#: Notifications of the traffic, and those of the message that is sent: its echo and three statuses.
TRAFFIC = 50
COUNT = TRAFFIC + 4


class Simulation:
    """A real ``router simulate``."""

    def __init__(self, folder: Path) -> None:
        self._out = folder / "simulate.out"
        options = ["--port", "0", "--speed", "20", "--rate", "200", "--count", str(TRAFFIC), "--seed", "5"]
        command = [sys.executable, "-m", "router", "simulate", *options]
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    def instance(self) -> tuple[str, str, str]:
        """Return id, address and token, as it says they are to stand in routes.yaml."""
        pattern = r'id: (\d+), api_url: "([^"]+)", token: "([^"]+)"'
        found = eventually(lambda: re.search(pattern, self._out.read_text()))
        return found[1], found[2], found[3]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    simulation = Simulation(tmp_path)
    yield simulation
    simulation.process.kill()
    simulation.process.wait()


@pytest.mark.skipif(not PYTHON.exists(), reason="the client is not installed: make test-system")
def test_the_official_client_receives_deletes_and_sends(simulation: Simulation, tmp_path: Path) -> None:
    id_instance, url, token = simulation.instance()
    (tmp_path / "client.py").write_text(SCRIPT)

    command = [str(PYTHON), "client.py", id_instance, token, url, str(COUNT)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)

    assert ended.returncode == 0, ended.stderr
    found = orjson.loads(ended.stdout.splitlines()[-1])
    assert simulation.stop() == 0
    lines = simulation.lines
    queued = [line.split()[3:] for line in lines if " queued " in line]
    deleted = [int(line.split()[2]) for line in lines if " deleted " in line and " by " in line]
    assert [each[0] for each in found["seen"]] == [each[0] for each in queued]
    assert deleted == list(range(1, COUNT + 1))
    assert [each[::2] for each in found["seen"] if [each[1]] == found["sent"]] == [
        ["outgoingAPIMessageReceived", ""],
        ["outgoingMessageStatus", "sent"],
        ["outgoingMessageStatus", "delivered"],
        ["outgoingMessageStatus", "read"],
    ]
    assert (found["type"], found["waiting"]) == ("whatsapp", 0)
    assert lines[-1].startswith(f"{COUNT} queued, {COUNT} deleted, 0 waiting, 1 sent; ")

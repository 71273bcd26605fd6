from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import eventually


def test_a_newcomer_sees_events_handled_and_it_ends_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "router", "demo", "--rate", "100", "--count", "40"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("A router and a simulated GREEN-API")
    taken = re.search(r"^(\d+) notifications, (\d+) of them taken", ended.stdout, re.MULTILINE)
    assert taken
    assert int(taken[1]) == int(taken[2]) >= 40
    for transport in ("transport=polling", "transport=webhook"):
        assert any("notification.accepted" in line and transport in line for line in lines)
    assert sum("demo.greeted" in line for line in lines) > 5
    assert "Traceback" not in ended.stdout
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_it_stops_when_it_is_told_to(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        command = [sys.executable, "-m", "router", "demo", "--rate", "50"]
        running = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out)
    try:
        eventually(lambda: b"demo.greeted" in (tmp_path / "out").read_bytes())
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.wait()
    assert b"router.stopped" in (tmp_path / "out").read_bytes()


def test_what_the_demo_runs_is_a_routes_yaml_like_any_other() -> None:
    folder = Path(__file__).parents[2] / "router" / "demo"
    names = ("DEMO_API_URL=http://127.0.0.1:1", "DEMO_TOKEN_1=a", "DEMO_TOKEN_2=b", "DEMO_WEBHOOK_TOKEN=c")
    command = [sys.executable, "-m", "router", "check", "--config", str(folder / "routes.yaml")]
    ended = subprocess.run(["env", *names, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

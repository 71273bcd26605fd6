"""How long a start takes, and what an idle router holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Budget, CannotMeasure, Figure
from bench.machine import cores
from bench.others import bare
from bench.routers import Router
from bench.rows import Effort, Row

ABOUT = """\
With the `routes.yaml` of the repository, which loads the plugin `archive`; on one processor, with the files
already in the page cache. *Check* is the whole of `router check`. *Ready* is the time from the start of the
process to the first 200 of `/readyz`; the bare application's is the time until uvicorn answers.
"""

_ROUTES = Path(__file__).parents[2] / "routes.yaml"
#: Seconds after which a router that got nothing to do is idle.
_IDLE_AFTER = 1.0


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Start things, again and again."""
    router = Router(folder / "router")
    shutil.copy(_ROUTES, router.folder / "routes.yaml")
    checks = [_check(router) for _ in range(effort.rounds + 1)][1:]
    ready, memory = zip(*(_serve(router) for _ in range(effort.rounds)), strict=True)
    bare_ready, bare_memory = zip(*(_serve_bare(folder) for _ in range(effort.rounds)), strict=True)
    return [
        Figure.of_rounds("router check", checks, "s", budget=Budget(at_most=1.0)),
        Figure.of_rounds("router serve, ready", ready, "s", budget=Budget(at_most=2.0)),
        Figure.of_rounds("router, idle: memory", memory, "MB", budget=Budget(at_most=100)),
        Figure.of_rounds("bare application, ready", bare_ready, "s"),
        Figure.of_rounds("bare application, idle: memory", bare_memory, "MB"),
    ]


def _check(router: Router) -> float:
    command = ["taskset", "-c", str(cores()[0]), sys.executable, "-m", "router", "check"]
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=router.folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise CannotMeasure(f"router check found problems: {ended.stdout}{ended.stderr}")
    return time.perf_counter() - started


def _serve(router: Router) -> tuple[float, float]:
    with router.serve() as server:
        time.sleep(_IDLE_AFTER)
        return server.ready_after, server.rss()


def _serve_bare(folder: Path) -> tuple[float, float]:
    with bare(folder) as server:
        time.sleep(_IDLE_AFTER)
        return server.ready_after, server.rss()


ROW = Row(name="start", title="Start and size", about=ABOUT, measure=measure)

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.engine import ROOT, ROUTER_IMAGE, Engine, make_base, running_engine
from tests.system.faults import SmallDisk

_FIGURES = pytest.StashKey[list[tuple[str, str]]]()

#: Takes what a test counted, to be shown when all tests are over.
Report = Callable[[object], None]


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Show what the test counted, at the end of the run."""
    figures = request.config.stash.setdefault(_FIGURES, [])
    name = request.node.name.replace("[asyncio]", "").removeprefix("test_").replace("_", " ")
    return lambda figure: figures.append((name, str(figure)))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Have a disk of 32 MiB in the folder ``disk``."""
    with SmallDisk(tmp_path / "disk", size=32) as disk:
        yield disk


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Have a Docker engine, with a base image for the router's."""
    with running_engine(tmp_path_factory.mktemp("docker")) as engine:
        make_base(engine)
        yield engine


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """Have the router's image, built of the Dockerfile as it stands."""
    engine.build(ROOT, ROUTER_IMAGE)
    return ROUTER_IMAGE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("counted")
    for name, figure in figures:
        terminalreporter.line(f"{name}: {figure}")

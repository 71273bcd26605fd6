"""The programs that the router is measured against, each on the processor of the router."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.servers import Process, Server, free_port, running, serving

_BENCH = Path(__file__).parent
#: Has GREEN-API's servers and k6; see requirements.in.
VENV = _BENCH / ".venv"


def bare(folder: Path) -> AbstractContextManager[Server]:
    """Run the bare application, with the settings that ``router serve`` gives uvicorn."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.baselines.bare:app", "--port", str(port)]
    settings = ["--http", "httptools", "--ws", "none", "--lifespan", "off", "--log-level", "warning"]
    plain = ["--no-access-log", "--no-proxy-headers", "--no-server-header"]
    log = folder / "bare.log"
    return serving([*command, *settings, *plain], port=port, path="/", log=log, cwd=_BENCH.parent)


def of_green_api(package: str, folder: Path) -> AbstractContextManager[Server]:
    """Run GREEN-API's own server, one of `packages_of_green_api`."""
    port = free_port()
    script = _BENCH / "baselines" / f"{package}.py"
    command = [str(VENV / "bin" / "python"), str(script), str(port)]
    return serving(command, port=port, path="/", log=folder / f"{package}.log", cwd=folder)


@contextmanager
def polling_client(url: str, instances: Iterable[int], folder: Path) -> Iterator[Process]:
    """Run GREEN-API's own client, which polls these instances."""
    script = _BENCH / "baselines" / "green_api_async.py"
    command = [str(VENV / "bin" / "python"), str(script), url, *map(str, instances)]
    with running(command, log=folder / "client.log", cwd=folder) as process:
        yield Process(process.pid)


def packages_of_green_api() -> list[str]:
    """Return those that are installed: the second one is not to be had for every Python."""
    return [
        name
        for name in ("greenapi_v1", "greenapi_v2")
        if any(VENV.glob(f"lib/python*/site-packages/{_MODULES[name]}"))
    ]


_MODULES = {
    "greenapi_v1": "whatsapp_api_webhook_server_python",
    "greenapi_v2": "whatsapp_api_webhook_server_python_v2",
}

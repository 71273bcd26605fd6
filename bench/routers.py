"""The router that is measured: ``router serve`` with routes of ours, a JSON log and, mostly, SQLite."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.inbox_file import InboxFile
from bench.servers import Server, free_port, serving

_PLUGINS = Path(__file__).parent / "plugins"
_SETTINGS: dict[str, object] = {
    "version": 1,
    "plugins_dir": str(_PLUGINS),
    "inbox": {"url": "sqlite:///router.db"},
    "delivery": {"shutdown_grace": "1s"},
    "logging": {"level": "INFO", "format": "json"},
}


class Router:
    """A router in a folder of its own.

    Args:
        folder: Made where it is not there.
        routes: Entries of ``routes:``, such as ``{name: all, type: "*", handler: nothing}``.
        settings: Other parts of ``routes.yaml``, each in place of the one that is here otherwise.
    """

    def __init__(self, folder: Path, *routes: str, **settings: object) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.log = folder / "router.log"
        self.inbox = InboxFile(folder / "router.db")
        self._settings = {**_SETTINGS, **settings}
        self.configure(*routes)

    def configure(self, *routes: str) -> None:
        """Have other routes from the next start on."""
        lines = [
            *(f"{name}: {json.dumps(value)}" for name, value in self._settings.items()),
            "routes:",
            *(f"  - {route}" for route in routes),
        ]
        (self.folder / "routes.yaml").write_text("\n".join(lines) + "\n", "utf-8")

    @contextmanager
    def serve(self, *program: str, on: Sequence[int] = ()) -> Iterator[Server]:
        """Run it until the block ends.

        Args:
            program: What Python runs, if not the package ``router``.
            on: The processors; the first one when left out.
        """
        port = free_port()
        command = [sys.executable, *(program or ("-m", "router")), "serve", "--port", str(port)]
        with serving(
            command, port=port, path="/webhook", log=self.log, cwd=self.folder, ready=200, on=on
        ) as server:
            yield server

    def lines(self, event: str) -> int:
        """Return how many lines of the log tell of an event such as ``notification.accepted``."""
        with self.log.open("rb") as lines:
            return sum(f'"{event}"'.encode() in line for line in lines)

    def starts(self) -> str:
        """Return what the handler ``record`` noted, once the router has stopped."""
        return (self.folder / "starts.csv").read_text("utf-8")

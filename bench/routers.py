"""The router that is measured: ``router serve`` with routes of ours, a JSON log and an inbox in SQLite."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.inbox_file import InboxFile
from bench.servers import Server, free_port, serving

_PLUGINS = Path(__file__).parent / "plugins"
_ROUTES = """\
version: 1
plugins_dir: {plugins}
inbox: {{url: "sqlite:///router.db"}}
delivery: {{shutdown_grace: 1s}}
logging: {{level: INFO, format: json}}
routes:
{routes}
"""


class Router:
    """A router in a folder of its own.

    Args:
        folder: Made where it is not there.
        routes: Entries of ``routes:``, such as ``{name: all, type: "*", handler: nothing}``.
    """

    def __init__(self, folder: Path, *routes: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.log = folder / "router.log"
        self.inbox = InboxFile(folder / "router.db")
        self.configure(*routes)

    def configure(self, *routes: str) -> None:
        """Have other routes from the next start on."""
        text = _ROUTES.format(plugins=_PLUGINS, routes="\n".join(f"  - {route}" for route in routes))
        (self.folder / "routes.yaml").write_text(text, "utf-8")

    @contextmanager
    def serve(self) -> Iterator[Server]:
        """Run it until the block ends."""
        port = free_port()
        command = [sys.executable, "-m", "router", "serve", "--port", str(port)]
        with serving(command, port=port, path="/webhook", log=self.log, cwd=self.folder, ready=200) as server:
            yield server

    def accepted_lines(self) -> int:
        """Return how many lines of the log tell of an accepted notification."""
        with self.log.open("rb") as lines:
            return sum(b'"notification.accepted"' in line for line in lines)

    def starts(self) -> str:
        """Return what the handler ``record`` noted, once the router has stopped."""
        return (self.folder / "starts.csv").read_text("utf-8")

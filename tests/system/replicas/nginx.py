"""nginx in front of replicas, as ``deploy/nginx`` has it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.system.faults import need
from tests.system.harness import PATIENCE
from tests.system.replicas.fleet import Replica
from tests.system.replicas.servers import free_port

_CONF = Path(__file__).parent.parent.parent.parent / "deploy" / "nginx"


class Nginx:
    """A process of nginx with the configuration that is shipped; as a context it runs.

    Args:
        folder: Where its files are.
        replicas: What is behind it.
        changes: What stands in the configuration, and what stands there instead.
    """

    def __init__(
        self, folder: Path, replicas: Sequence[Replica], changes: Mapping[str, str] | None = None
    ) -> None:
        need("nginx")
        self.host = "127.0.0.1"
        self.port = free_port()
        self._folder = folder
        folder.mkdir()
        conf = (_CONF / "nginx.conf").read_text().replace("/tmp/", f"{folder}/")
        servers = [f"server {one.host}:{one.port} max_fails=1 fail_timeout=2s;" for one in replicas]
        conf, count = re.subn(r"(\s+server router-\d:8080 [^;]*;)+", "\n" + "\n".join(servers), conf)
        assert count == 1, "nginx.conf has one list of routers"
        conf = conf.replace("/dev/stdout", f"{folder}/access")
        user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is nobody else's
        (folder / "nginx.conf").write_text(user + conf)
        (folder / "server.conf").write_text((_CONF / "http.conf").read_text().replace("8080", str(self.port)))
        shutil.copy(_CONF / "webhook.conf", folder)
        for shipped, instead in (changes or {}).items():
            self._change(shipped, instead)

    def __enter__(self) -> Nginx:
        command = ["nginx", "-p", str(self._folder), "-c", "nginx.conf", "-g", "daemon off;"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    @property
    def log(self) -> str:
        """What went wrong."""
        return (self._folder / "log").read_text()

    def _change(self, shipped: str, instead: str) -> None:
        texts = {path: path.read_text() for path in self._folder.glob("*.conf")}
        assert any(shipped in text for text in texts.values()), shipped
        for path, text in texts.items():
            path.write_text(text.replace(shipped, instead))

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((self.host, self.port), 1):
            return True
        return False

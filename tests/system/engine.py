"""A Docker engine of its own, and images for it that come from no registry.

The base image is made of Debian's packages and of a Python 3.13 of this machine, and has the name of the
real one, so that the Dockerfile is built as it stands.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.faults import need, need_root
from tests.system.harness import PATIENCE

ROOT = Path(__file__).parent.parent.parent
TOOLS = Path(__file__).parent / ".venv" / "bin"
#: Debian's client: it has BuildKit, for which others need a plugin.
DOCKER = "/usr/bin/docker"
PYTHON_IMAGE = "python:3.13-slim"
ROUTER_IMAGE = "green-event-router"
#: Where a Python 3.13 may be that can be copied.
PYTHONS = (Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions", Path("/opt/python"))
#: What that Python is linked to, under its names in Debian 12.
LIBRARIES = (
    "ca-certificates,libbz2-1.0,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,"
    "netbase,tzdata,usr-is-merged,zlib1g"
)
#: What the slim images of Docker are without, too.
EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
)
#: Has it made with /usr merged, so that no package has to do that, with all of Perl.
MERGED = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: Networks that nothing else uses: those for measuring networks.
NETWORKS = ("--bip=198.18.0.1/24", "--default-address-pool=base=198.19.0.0/16,size=24")


class Engine:
    """A running ``dockerd``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "DOCKER_HOST": f"unix://{folder}/docker.sock", "DOCKER_BUILDKIT": "1"}

    def run(self, *command: str, **options: Any) -> str:
        """Run a command of ``docker`` and return what it prints.

        Raises:
            AssertionError: It failed; with what it said.
        """
        done = self.attempt(*command, **options)
        assert done.returncode == 0, f"docker {' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def attempt(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of ``docker``, which may fail."""
        return subprocess.run(
            [DOCKER, *command], env=self.environ, text=True, capture_output=True, check=False, **options
        )

    def inspect(self, name: str) -> Any:
        """Return all that the engine knows of a container or an image."""
        return json.loads(self.run("inspect", name))[0]

    def build(self, folder: Path, tag: str, *options: str) -> None:
        """Build an image of a folder with a Dockerfile."""
        self.run("build", "--network", "host", "--tag", tag, *options, str(folder))


@contextmanager
def running_engine(folder: Path) -> Iterator[Engine]:
    """Run an engine whose data is in a folder, until the block ends."""
    need_root("a Docker engine")
    need("dockerd", "iptables", DOCKER)
    engine = Engine(folder)
    command = ["dockerd", f"--host={engine.environ['DOCKER_HOST']}", f"--pidfile={folder}/docker.pid"]
    command += [f"--data-root={folder}/data", f"--exec-root={folder}/exec", *NETWORKS]
    log = folder / "dockerd.log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            _wait_for(engine, process, log)
            yield engine
            _remove_containers(engine)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            _unmount(folder)
            _open_network()


def _wait_for(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while engine.attempt("version").returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"no Docker engine can run on this machine: {log.read_text()[-500:]}")
        time.sleep(0.1)


def _remove_containers(engine: Engine) -> None:
    if containers := engine.run("ps", "--all", "--quiet").split():
        engine.run("rm", "--force", "--volumes", *containers)


def _unmount(folder: Path) -> None:
    """Unmount what the engine leaves mounted, or its folder could not be removed."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((each for each in mounts if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder / "data", ignore_errors=True)


def _open_network() -> None:
    """Take back what the engine leaves: it forbids all forwarding but its own, also between namespaces."""
    subprocess.run(["iptables", "--policy", "FORWARD", "ACCEPT"], check=False)
    subprocess.run(["ip", "link", "delete", "docker0"], check=False)


def make_base(engine: Engine) -> None:
    """Make ``python:3.13-slim`` of what this machine has."""
    need("mmdebstrap", "strip")
    root = engine.folder / "root"
    options = [f"--dpkgopt=path-exclude={path}" for path in EXCLUDED]
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if not sources.exists():
        pytest.skip("the base image can only be made on Debian 12")
    debian = ["mmdebstrap", "--quiet", "--variant=minbase", MERGED, f"--include={LIBRARIES}", *options]
    done = subprocess.run(
        [*debian, "bookworm", str(root), str(sources)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the packages of the base image cannot be had: {done.stderr[-500:]}")
    _copy_python(_python(), root / "usr" / "local")
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    for command in (["ldconfig"], ["python3", "-m", "ensurepip", "--default-pip"]):
        subprocess.run(["chroot", str(root), *command], check=True, capture_output=True)
    import_image(engine, root, PYTHON_IMAGE, f"ENV SSL_CERT_FILE={CERTIFICATES}", 'CMD ["python3"]')
    shutil.rmtree(root)


def _python() -> Path:
    for folder in PYTHONS:
        for found in sorted(folder.glob("3.13.*")):
            return found
    pytest.skip("no Python 3.13 is installed that the base image could be made of")


def _copy_python(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns(
        "__pycache__", "*.a", "test", "site-packages", "idlelib", "tkinter", "config-3.13*"
    )
    shutil.copytree(source / "lib", target / "lib", ignore=ignored, symlinks=True, dirs_exist_ok=True)
    (target / "lib/python3.13/site-packages").mkdir()
    shutil.copy(source / "bin/python3.13", target / "bin/python3.13")
    for name in ("python3", "python"):
        (target / "bin" / name).symlink_to("python3.13")
    modules = [
        str(path) for path in (target / "lib").rglob("*.so*") if path.is_file() and not path.is_symlink()
    ]
    subprocess.run(["strip", "--strip-unneeded", *modules], check=True, capture_output=True)


def import_image(engine: Engine, root: Path, tag: str, *changes: str) -> None:
    """Make a folder an image."""
    options = [part for change in changes for part in ("--change", change)]
    path = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    with subprocess.Popen(["tar", "-C", str(root), "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
        engine.run("import", "--change", path, *options, "-", tag, stdin=tar.stdout)

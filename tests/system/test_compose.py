"""``compose.yaml`` as it stands: nginx, PostgreSQL, and three routers that are killed, frozen, made anew."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import yaml

from router import samples
from tests.system.conftest import Report
from tests.system.containers import KEEP, ask, give_to_router
from tests.system.engine import PYTHON_IMAGE, ROOT, TOOLS, Engine
from tests.system.faults import need
from tests.system.harness import Line, Router
from tests.system.judge import judge
from tests.system.sender import sending

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

#: The program itself, as the command that is installed beside it always exits with 0.
COMPOSE = str(next(TOOLS.parent.glob("lib/*/site-packages/compose/docker-compose"), "docker-compose"))
FILE = ROOT / "compose.yaml"
TLS = ROOT / "deploy" / "nginx" / "compose.tls.yaml"
MESSAGE = samples.read("incomingMessageReceived/wa-text-waba.json")
#: Nothing else here is in this network.
NETWORK = "198.18.64"
#: nginx and PostgreSQL of Debian 12 in one image that goes by both names. Of what the real one of PostgreSQL
#: does, the command does what compose.yaml relies on.
SERVERS = f"""\
FROM {PYTHON_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light postgresql-15
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
COPY --chmod=755 serve-postgres /usr/local/bin/
VOLUME /var/lib/postgresql/data
CMD ["serve-postgres"]
"""
SERVE_POSTGRES = """\
#!/bin/sh
set -eu
data=/var/lib/postgresql/data
as_postgres="setpriv --reuid=postgres --regid=postgres --clear-groups"
if [ ! -s $data/PG_VERSION ]; then
    chown postgres $data
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    chown postgres /tmp/password
    $as_postgres initdb --pgdata=$data --username="$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8
    echo "CREATE DATABASE $POSTGRES_DB" | $as_postgres postgres --single -D $data postgres
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
fi
exec $as_postgres postgres -D $data -c listen_addresses='*'
"""
#: Everything to a plugin that keeps a record, from one address only.
ROUTES = """\
plugins_dir: plugins
webhook: {trusted_proxies: ["${NGINX_ADDRESS}"], allow: [CLIENT]}
inbox: {url: "postgresql://router:${POSTGRES_PASSWORD}@postgres/router", lease: 2s}
logging: {format: json}
routes:
  - {name: all, type: incomingMessageReceived, handler: keep}
"""
#: Waits until the plugin archive has written one message.
UNTIL_ARCHIVED = """\
url=postgresql://router:$POSTGRES_PASSWORD@127.0.0.1/router
until [ "$(psql $url -Atc 'SELECT count(*) FROM messages')" = 1 ]; do sleep .1; done
"""
#: What each router gets of the test's folder.
MOUNTED = {"routes.yaml": "ro", "plugins": "ro", "record": "rw"}
#: From within another container: as if it came from the one address that may send.
FORGED = f"""\
import http.client
connection = http.client.HTTPConnection("nginx", 8080)
connection.request("POST", "/webhook", b"{{}}", {{"X-Forwarded-For": "{NETWORK}.1"}})
print(connection.getresponse().status)
"""


def need_compose() -> None:
    """Skip the test, visibly, where Compose is not installed."""
    need(COMPOSE)


@dataclass(frozen=True)
class Compose:
    """The services of ``compose.yaml``, with files that change them."""

    engine: Engine
    port: int
    files: tuple[Path, ...] = ()

    def run(self, *command: str) -> str:
        """Run a command of Compose and return what it prints.

        Raises:
            AssertionError: It failed; with what it said.
        """
        files = [part for file in (FILE, *self.files) for part in ("--file", str(file))]
        environ = {
            **self.engine.environ,
            "ROUTER_NETWORK": NETWORK,
            "ROUTER_LISTEN": f"127.0.0.1:{self.port}",
        }
        done = subprocess.run(
            [COMPOSE, "--project-directory", str(ROOT), *files, *command],
            env=environ,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def up(self) -> None:
        """Start all services and wait until they are healthy."""
        self.run("up", "--detach", "--wait", "--no-build")

    def down(self) -> None:
        """Remove everything of them; what they wrote is shown if the test fails."""
        print(self.run("ps", "--all"), self.run("logs", "--tail=20"))
        self.run("down", "--volumes", "--timeout", "1")


@pytest.fixture(scope="module")
def servers(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Have images of nginx and PostgreSQL, under the names that compose.yaml has for them."""
    need_compose()
    folder = tmp_path_factory.mktemp("servers")
    (folder / "Dockerfile").write_text(SERVERS)
    (folder / "serve-postgres").write_text(SERVE_POSTGRES)
    for service in ("nginx", "postgres"):
        engine.build(folder, yaml.safe_load(FILE.read_text())["services"][service]["image"])
    return engine


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("files", [(FILE,), (FILE, TLS)], ids=["alone", "with TLS"])
def test_the_file_is_valid(files: tuple[Path, ...]) -> None:
    need_compose()
    command = [COMPOSE, *(part for file in files for part in ("--file", str(file))), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nginx_lets_through_as_much_as_the_routers_take() -> None:
    conf = (ROOT / "deploy" / "nginx" / "webhook.conf").read_text()
    assert "client_max_body_size 2m;" in conf
    assert "max_body" not in (ROOT / "deploy" / "compose" / "routes.yaml").read_text()


def test_up_with_nothing_set(servers: Engine, port: int) -> None:
    compose = Compose(servers, port)
    try:
        compose.up()
        url = f"http://127.0.0.1:{port}"
        answers = [ask(f"{url}/webhook", MESSAGE) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        assert b"duplicate" in answers[1].body
        inside = ("console", "console/", "plugins/x", "metrics", "readyz", "healthz", "")
        assert {ask(f"{url}/{path}").status for path in inside} == {404}
        assert ask(f"{url}/webhook", bytes(2 << 20)).status == 200  # no JSON, and kept as invalid
        assert ask(f"{url}/webhook", bytes((2 << 20) + 1)).status == 413
        compose.run("exec", "-T", "postgres", "timeout", "20", "sh", "-c", UNTIL_ARCHIVED)

        compose.run("stop", "postgres")
        away = [ask(f"{url}/webhook", MESSAGE) for _ in range(10)]
        assert {(answer.status, answer.headers["retry-after"]) for answer in away} == {(503, "30")}
    finally:
        compose.down()


def test_up_with_tls(servers: Engine, port: int, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for path in (tmp_path, tmp_path / "certificate.pem", tmp_path / "key.pem"):
        path.chmod(0o755)
    servers.environ.update(CERTIFICATE=f"{tmp_path}/certificate.pem", CERTIFICATE_KEY=f"{tmp_path}/key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    compose = Compose(servers, port, (TLS,))
    try:
        compose.up()
        assert ask(f"https://localhost:{port}/webhook", MESSAGE, context=context).status == 200
    finally:
        compose.down()


class ThroughNginx(Router):
    """What is behind nginx, for those who send and those who judge."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self.port = port


@pytest.fixture
def recorded(servers: Engine, port: int, tmp_path: Path) -> Iterator[tuple[Compose, ThroughNginx]]:
    """Run the services with a plugin that keeps a record, and routes that lead to it."""
    behind = ThroughNginx(tmp_path, port)
    (tmp_path / "plugins" / "keep.py").write_text(KEEP)
    (tmp_path / "routes.yaml").write_text(ROUTES.replace("CLIENT", f"{NETWORK}.1"))
    (tmp_path / "record").touch()
    give_to_router(tmp_path, tmp_path / "record")
    mounts = [f"{tmp_path}/{name}:/app/{name}:{mode}" for name, mode in MOUNTED.items()]
    services = {f"router-{number}": {"volumes": mounts} for number in (1, 2, 3)}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"services": services}))
    compose = Compose(servers, port, (tmp_path / "compose.yaml",))
    try:
        compose.up()
        yield compose, behind
    finally:
        compose.down()


async def test_replicas_come_and_go_and_no_request_fails(
    recorded: tuple[Compose, ThroughNginx], report: Report
) -> None:
    compose, behind = recorded
    faults = [
        ("kill", "router-1"),
        ("start", "router-1"),
        ("pause", "router-2"),
        ("unpause", "router-2"),
        ("restart", "router-3"),
        ("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "router-1"),
    ]
    async with sending(behind) as sender:
        for fault in faults:
            await sender.until(sender.total + 500)
            await asyncio.to_thread(compose.run, *fault)
        await sender.until(sender.total + 500)
    verdict = await judge(behind, sender.answered)
    violations = disorder(behind.record.lines())
    report(
        f"answered {verdict.answered}, refused {sender.refused}, lost {len(verdict.lost)}, "
        f"repeated {verdict.repeated}, violations {len(violations)}"
    )

    assert (sender.refused, verdict.lost, violations) == (0, [], [])


def disorder(record: list[Line]) -> list[Line]:
    """Return what began before the one of its chat before it had ended, in whatever process."""
    ended: dict[str, int] = defaultdict(int)
    wrong = []
    for line in record:
        if line.what == "end":
            ended[line.chat] = max(ended[line.chat], line.number)
        elif line.number > ended[line.chat] + 1:
            wrong.append(line)
    return wrong


def test_nobody_forges_an_address(recorded: tuple[Compose, ThroughNginx]) -> None:
    compose, behind = recorded
    url = f"http://127.0.0.1:{behind.port}/webhook"
    assert ask(url, MESSAGE).status == 200
    assert compose.run("exec", "-T", "router-1", "python", "-c", FORGED) == "403"

"""The container image: built of the Dockerfile as it stands, and run."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from router import samples
from tests.system.conftest import Report
from tests.system.containers import LOCKED, USER, ContainedRouter, Container, ask, container, give_to_router
from tests.system.engine import PYTHON_IMAGE, ROOT, TOOLS, Engine
from tests.system.judge import judge
from tests.system.sender import sending

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

MESSAGE = samples.read("incomingMessageReceived/wa-text-waba.json")
PAGE = ROOT / "docs" / "how-to" / "container.md"


def test_the_linter_finds_nothing() -> None:
    if not (TOOLS / "hadolint").exists():
        pytest.skip("hadolint is not installed (make test-system installs it)")
    done = subprocess.run(
        [TOOLS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_small(engine: Engine, image: str, report: Report) -> None:
    whole, base = (engine.inspect(name)["Size"] / 1e6 for name in (image, PYTHON_IMAGE))
    report(f"{whole:.0f} MB, of which the base image has {base:.0f} MB")
    assert whole < 250
    assert whole - base < 120


def test_it_holds_what_runs_and_nothing_else(engine: Engine, image: str) -> None:
    looks = "id -u; command -v gcc cc make strip; ls -A /app /src 2>&1; pip list --editable"
    found = engine.run("run", "--rm", "--entrypoint=sh", image, "-c", looks)
    assert found.splitlines() == [
        str(USER),
        "ls: cannot access '/src': No such file or directory",
        "/app:",
        "routes.yaml",
        "var",
    ]
    plugins = orjson.loads(engine.run("run", "--rm", image, "plugins", "--json"))
    assert {plugin["name"] for plugin in plugins} == {
        path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")
    }


@pytest.mark.parametrize("options", [(), LOCKED], ids=["as it is", "with no rights"])
def test_with_nothing_set_it_takes_and_delivers(engine: Engine, image: str, options: tuple[str, ...]) -> None:
    with container(engine, *options) as router:
        router.wait_until_healthy()
        answer = ask(f"{router.url}/webhook", MESSAGE)
        router.wait_for("archive.written")

        assert answer.status == 200
        assert archived(router) == [orjson.loads(answer.body)["id"]]
        assert ask(f"{router.url}/readyz").status == 200
        assert "Traceback" not in router.log()


def archived(router: Container) -> list[str]:
    """Return the ids of the messages that were archived in the volume."""
    text = router.exec("sh", "-c", "cat /app/var/archive/messages/*.jsonl")
    return [orjson.loads(line)["id"] for line in text.splitlines()]


def test_the_health_check_fails_where_nothing_answers(engine: Engine, image: str) -> None:
    kind, *probe = engine.inspect(image)["Config"]["Healthcheck"]["Test"]
    with container(engine) as router:
        router.wait_until_healthy()
        assert kind == "CMD"
        assert engine.attempt("exec", "--env=ROUTER_PORT=1", router.name, *probe).returncode == 1


@pytest.mark.parametrize("options", [(), LOCKED], ids=["as it is", "with no rights"])
async def test_kill_and_sigterm_lose_nothing(
    engine: Engine, image: str, options: tuple[str, ...], tmp_path: Path, report: Report
) -> None:
    codes = []
    with ContainedRouter(engine, tmp_path, *options) as router:
        router.run()
        async with sending(router) as sender:
            for end in (router.crash, router.stop, router.crash):
                await sender.until(sender.total + 300)
                codes.append(await asyncio.to_thread(end))
                await asyncio.to_thread(router.run)
            await sender.until(sender.total + 300)
        verdict = await judge(router, sender.answered)
        codes.append(await asyncio.to_thread(router.stop))
        report(f"{verdict}; exit codes {codes}")

        assert codes == [137, 0, 137, 0]
        assert (verdict.lost, verdict.violations) == ([], [])
        assert router.deliveries() == {"done": verdict.answered}


def test_sigterm_during_the_start_ends_it(engine: Engine, image: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(3600)\n")
    (tmp_path / "routes.yaml").write_text("plugins_dir: .\nplugins: [{name: slow}]\n")
    options = (f"--volume={tmp_path}:/app/plugins:ro", "--env=ROUTER_CONFIG=/app/plugins/routes.yaml")
    give_to_router(tmp_path)
    with container(engine, *options) as router:
        router.wait_for("begun")
        assert router.stop() == 143


def test_a_secret_comes_from_a_file(engine: Engine, image: str, tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("webhook: {token: '${file:/run/secrets/token}'}\nroutes: []\n")
    (tmp_path / "token").write_text("a long secret\n")
    files = {"routes.yaml": "/app/routes.yaml", "token": "/run/secrets/token"}
    with container(
        engine, *(f"--volume={tmp_path / name}:{path}:ro" for name, path in files.items())
    ) as router:
        router.wait_until_healthy()
        assert ask(f"{router.url}/webhook", MESSAGE).status == 401
        assert ask(f"{router.url}/webhook", MESSAGE, token="Bearer a long secret").status == 200
        assert "a long secret" not in router.log()


def test_the_three_lines_of_the_page_add_a_plugin(engine: Engine, image: str, tmp_path: Path) -> None:
    (dockerfile,) = re.findall(r"^```dockerfile\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "Dockerfile").write_text(dockerfile)
    subprocess.run(
        [sys.executable, "-m", "router", "new-plugin", "order-desk"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    engine.build(tmp_path, "my-router")

    plugins = orjson.loads(engine.run("run", "--rm", *LOCKED, "my-router", "plugins", "--json"))

    assert len(dockerfile.splitlines()) == 3
    assert "order-desk" in {plugin["name"] for plugin in plugins}
    assert engine.inspect("my-router")["Config"]["User"].startswith(str(USER))

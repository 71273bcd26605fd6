"""The docs say what the code does: reference pages are held against it, README, tutorial and others are run.

CONTRIBUTING.md says how blocks of a page are marked.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main

import router
from router import hookspecs, plugins
from router.cli.app import app
from router.config import read
from router.loading import wanted

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
#: Pages that are run from top to bottom.
RUN = [
    ROOT / "README.md",
    *sorted((DOCS / "tutorial").glob("*.md")),
    DOCS / "how-to" / "handle-dead-letters.md",
    DOCS / "how-to" / "replay-events.md",
    DOCS / "how-to" / "test-a-plugin.md",
]
#: Pages whose examples have tests of their own.
TESTED_ELSEWHERE = [REFERENCE / "routes-yaml.md", REFERENCE / "patterns.md"]
#: Seconds until a command has to be done, or a log line to be there.
PATIENCE = 15.0


# Pages


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    #: 1-based, of the fence.
    line: int
    #: What stands behind the fence: ``sh``, ``yaml`` …
    info: str
    text: str
    #: The file that it is.
    file: str | None

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text("utf-8").splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        content = lines[start + 1 : number]
        above = lines[start - 1] if start else ""
        marked = re.fullmatch(r"# file: (\S+)", content[0] if content else "")
        marked = marked or re.fullmatch(r"<!-- file: (\S+) -->", above)
        text = "\n".join(content) + "\n"
        yield Block(page, start + 1, lines[start].strip("`"), text, marked[1] if marked else None)
        start = None
    assert start is None, f"{page}: a block is not closed"


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def headings(page: Path) -> list[str]:
    return [match[1].replace("`", "") for match in re.finditer(r"^#+ (.+)$", prose(page), re.MULTILINE)]


def sections(page: Path) -> dict[str, str]:
    """Return what stands below each heading, whatever its level, up to the next one."""
    parts = re.split(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return dict(zip((part.replace("`", "") for part in parts[1::2]), parts[2::2], strict=True))


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# Reference pages


def hooks() -> list[str]:
    found = [
        (name, value)
        for name, value in vars(hookspecs).items()
        if hasattr(value, f"{hookspecs.PROJECT}_spec")
    ]
    return [f"{name}{inspect.signature(value)}".replace("'", "") for name, value in found]


def test_every_hook_has_a_heading_with_its_signature() -> None:
    assert hooks() != []
    assert set(hooks()) <= set(headings(REFERENCE / "hooks.md"))


def test_every_heading_that_is_a_signature_is_that_of_a_hook() -> None:
    assert [heading for heading in headings(REFERENCE / "hooks.md") if "(" in heading] == hooks()


def test_each_version_of_the_hooks_is_described() -> None:
    text = (REFERENCE / "hooks.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, hookspecs.VERSION + 1))
    came = "".join(what for _, what in rows)
    assert [name for name in hookspecs.hook_names() if f"`{name}`" not in came] == []


@pytest.mark.parametrize("name", router.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    pages = "".join((REFERENCE / page).read_text("utf-8") for page in ("handlers.md", "hooks.md"))
    assert f"`{name}`" in pages


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(None, name), f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app), "router"))


def spellings(command: Any) -> list[str]:
    """Return how each option and argument of a command is written."""
    written: list[str] = []
    for parameter in command.params:
        if parameter.param_type_name == "option":
            written += parameter.opts
        else:
            written.append(parameter.metavar.strip("[]"))
    return written


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_a_section_with_every_option_and_argument(path: str) -> None:
    section = sections(REFERENCE / "cli.md").get(path)
    assert section is not None, f"cli.md has no heading '{path}'"
    in_tables = [re.split(r"[ `]", row)[0] for row in re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)]
    assert sorted(in_tables) == sorted(spellings(COMMANDS[path]))


def test_every_heading_of_a_command_is_that_of_a_command() -> None:
    found = {heading for heading in headings(REFERENCE / "cli.md") if heading.split()[0] == "router"}
    assert found == set(COMMANDS)


def log_events(folder: Path) -> set[tuple[str, str]]:
    """Return name and level of every record that the modules of a folder log by name."""
    calls = (
        node
        for module in folder.rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    )
    return {
        (str(call.args[0].value), _LEVELS[call.func.attr])
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in _LEVELS
        and re.search(r"(^|[._])log(ger)?$", ast.unparse(call.func.value))
        and isinstance(call.args[0], ast.Constant)
    }


_LEVELS = {name: name.upper() for name in ("debug", "info", "warning", "error", "critical")}
_LEVELS["exception"] = "ERROR"


def test_every_log_event_is_listed_with_its_level_and_no_other() -> None:
    page = (REFERENCE / "logs.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| ([A-Z]+) \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(log_events(ROOT / "router") | log_events(ROOT / "plugins"))


# Links


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page).replace("\n", " "))
    return [link for link in found if not link.startswith(("http://", "https://"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (fragment and fragment not in map(anchor, headings(target))):
            broken.append(link)
    assert broken == []


def test_the_index_has_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "index.md")}
    assert {page.resolve() for page in DOCS.rglob("*.md")} - {(DOCS / "index.md").resolve()} <= linked


# routes.yaml


def configurations() -> list[Block]:
    """Return the blocks that are a whole routes.yaml, but for those that are run anyway."""
    return [
        block
        for page in PAGES
        if page not in TESTED_ELSEWHERE
        for block in blocks(page)
        if block.info == "yaml"
        and re.search(r"^(version|routes):", block.text, re.MULTILINE)
        and not (page in RUN and block.file)
    ]


@pytest.mark.parametrize("block", configurations(), ids=lambda block: block.place)
def test_every_routes_yaml_has_no_problems(block: Block, tmp_path: Path) -> None:
    for other in blocks(block.page):
        if other.file and other.info != "yaml":
            write(tmp_path / other.file, other.text)
    write(tmp_path / "secret", "a-secret\n")
    text = re.sub(r"\$\{file:[^}]+\}", "${file:secret}", block.text)
    path = tmp_path / (block.file or "routes.yaml")
    write(path, text)
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "a-value")

    document = read(path, environ)
    found = plugins.load(wanted(document), document.plugins_dir)
    document.check_handlers({name: handler.options for name, handler in found.handlers.items()})
    document.check_channels({name: channel.options for name, channel in found.channels.items()})
    document.check_plugins(found.names)

    assert [str(problem) for problem in [*document.problems, *found.problems]] == []


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


# Pages that are run


#: Stands in for ``pip install``: makes the package known, and downloads and builds nothing.
PIP = """
import pathlib, sys, tomllib
site = pathlib.Path(sys.argv[1])
if "-e" in sys.argv:
    package = pathlib.Path(sys.argv[-1]).resolve()
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {project['name']}\\nVersion: {project['version']}\\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\\n".join(lines))
    for module in [*package.glob("*.py"), *(found.parent for found in package.glob("*/__init__.py"))]:
        (site / module.name).symlink_to(module)
"""


class Running:
    """A command that runs beside the others, and what it writes."""

    def __init__(self, command: str, folder: Path, environ: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._read = 0
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], cwd=folder, env=environ, stdout=out, stderr=subprocess.STDOUT
            )

    def stop(self) -> None:
        """Stop it, as Ctrl-C does."""
        self._process.terminate()
        assert self._process.wait(PATIENCE) == 0

    def rewind(self) -> None:
        """Wait for lines from the beginning on again."""
        self._read = 0

    def wait_for(self, line: str, block: Block) -> None:
        """Wait until it has written the line, behind those that were waited for before."""
        deadline = time.monotonic() + PATIENCE
        while True:
            written = self._log.read_text("utf-8").splitlines()
            for number, found in enumerate(written[self._read :], self._read):
                if matches(line, found):
                    self._read = number + 1
                    return
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                pytest.fail(f"{block.place}: not logged: {line}\nbut\n{chr(10).join(written)}")
            time.sleep(0.02)


#: What runs until the next of its kind starts, by the ``log`` blocks that show it: the command that starts
#: it, and what it writes when it has begun.
RUNNING = {
    "log": (r"make run$|(\.venv/bin/)?router (serve|demo)\b", "…router.started…"),
    "log simulator": (r"(\.venv/bin/)?router simulate\b", "GREEN-API is simulated at …"),
}


#: Commands that change nothing, so that they can be run again.
LOOKS = re.compile(r"cat |(\.venv/bin/)?router (events|dead|outbox) (list|show|why)\b")


class Reader:
    """Does what a page says, in a folder of its own: a clone in which ``make`` has set up ``.venv``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Those of the page, and what they are here.
        self._ports = {"8080": str(free_port()), "8090": str(free_port())}
        self._here = folder
        self._printed = ""
        self._running: dict[str, Running] = {}
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")}
        self._set_up()

    def follow(self, page: Path) -> None:
        """Follow a page from top to bottom.

        Raises:
            AssertionError: Something is not as the page says.
        """
        before: Block | None = None
        for block in blocks(page):
            self._do(block, before)
            before = block

    def stop(self) -> None:
        """Stop what runs."""
        for kind in reversed(RUNNING):
            self._stop(kind)

    def _stop(self, kind: str) -> None:
        running = self._running.pop(kind, None)
        if running is not None:
            running.stop()

    def _do(self, block: Block, before: Block | None) -> None:
        started = [kind for kind, (command, _) in RUNNING.items() if re.match(command, block.text)]
        if block.file:
            write(self._here / block.file, self._on_our_ports(block.text))
        elif block.info == "sh" and started:
            self._start(started[0], block)
        elif block.info in {"sh", "sh fails"}:
            self._run(block)
        elif block.info == "text" and before is not None and before.info.startswith("sh"):
            self._compare(block, before)
        elif block.info in RUNNING:
            assert block.info in self._running, f"{block.place}: nothing runs that would write this"
            for line in self._on_our_ports(block.text).splitlines():
                self._running[block.info].wait_for(line, block)

    def _compare(self, block: Block, command: Block) -> None:
        """Compare what was printed with what the page shows, again while what runs has yet to do its part."""
        shown = self._on_our_ports(block.text)
        deadline = time.monotonic() + PATIENCE
        while not matches(shown, self._printed):
            if not self._running or not LOOKS.match(command.text) or time.monotonic() > deadline:
                pytest.fail(f"{block.place}: printed was\n{self._printed}")
            time.sleep(0.05)
            self._run(command)

    def _start(self, kind: str, block: Block) -> None:
        self._stop(kind)
        command = self._on_our_ports(block.text).replace("make run", "router serve")
        log = self.folder / f".{kind.replace(' ', '-')}"
        self._running[kind] = Running(command, self._here, self._env, log)
        self._running[kind].wait_for(RUNNING[kind][1], block)
        self._running[kind].rewind()

    def _run(self, block: Block) -> None:
        script = f"set -e\n{self._on_our_ports(block.text)}\npwd > {self.folder}/.here\n"
        done = subprocess.run(
            ["sh", "-c", script],
            check=False,
            cwd=self._here,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
        )
        self._printed = done.stdout.decode()
        assert (done.returncode != 0) is block.info.endswith("fails"), f"{block.place}: {self._printed}"
        if done.returncode == 0:
            self._here = Path((self.folder / ".here").read_text().strip())

    def _on_our_ports(self, text: str) -> str:
        for theirs, ours in self._ports.items():
            text = text.replace(theirs, ours)
        return text

    def _set_up(self) -> None:
        write(self.folder / "routes.yaml", (ROOT / "routes.yaml").read_text("utf-8"))
        site, programs = self.folder / ".site", self.folder / ".venv" / "bin"
        site.mkdir()
        write(programs / "activate", "")
        write(self.folder / ".pip.py", PIP)
        write(self.folder / ".curlrc", "silent\n")  # as it is when it writes to a terminal
        address = f"http://127.0.0.1:{self._ports['8080']}/webhook"
        python = f"{sys.executable} -P"
        for name, script in {
            "router": f"""
                if [ "$1" = send ]; then shift; set -- send --to {address} "$@"; fi
                if [ "$1" = simulate ]; then shift; set -- simulate --port {self._ports["8090"]} "$@"; fi
                exec {python} -m router "$@"
                """,
            "pytest": f'exec {python} -m pytest -p no:cacheprovider "$@"',
            "pip": f'exec {python} {self.folder}/.pip.py {site} "$@"',
            "make": '[ "$1" = .venv/run ]',
        }.items():
            write(programs / name, f"#!/bin/sh\n{textwrap.dedent(script)}\n")
            (programs / name).chmod(0o755)
        self._env |= {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "CURL_HOME": str(self.folder),
            "ROUTER_PORT": self._ports["8080"],
        }


def matches(shown: str, found: str) -> bool:
    """Whether a page shows what was found; … is any text, and times, ids and white space may differ."""
    pattern = ".*".join(re.escape(part.strip()) for part in plain(shown).split("…"))
    return re.fullmatch(pattern, plain(found), re.DOTALL) is not None


def plain(text: str) -> str:
    for pattern, name in _VARIABLE:
        text = re.sub(pattern, name, text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


_VARIABLE = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.stop()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_that_is_run_does_what_it_says(page: Path, reader: Reader) -> None:
    reader.follow(page)


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_that_is_run_shows_output_only_where_it_is_compared(page: Path) -> None:
    stray = [
        block.place
        for before, block in pairwise(blocks(page))
        if block.info == "text" and not before.info.startswith("sh")
    ]
    assert stray == []

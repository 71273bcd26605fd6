"""The rooms of the house, and the one direction in which imports go."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "router"

#: From the doors, where the outside comes in, to the words that everyone speaks. A part imports only
#: from rooms below its own.
ROOMS = {
    "doors": ["cli", "pytest_plugin", "testing", "__main__"],
    "wiring": ["app", "pipeline", "loading", "logs"],
    "movers": [
        "alerts",
        "backfill",
        "dispatch",
        "containment",
        "handlers",
        "health",
        "httpclient",
        "instances",
        "intake",
        "lifecycle",
        "limits",
        "operations",
        "outgoing",
        "pace",
        "pages",
        "plugins",
        "presence",
        "replay",
        "scaffold",
        "threads",
        "transports",
        "watchdog",
    ],
    "contracts": ["hookspecs", "context", "replies", "outbox", "state"],
    "stores": ["inbox", "greenapi"],
    "deciders": [
        "config",
        "options",
        "masking",
        "normalize",
        "redaction",
        "samples",
        "validation",
    ],
    "rules": [
        "arguments",
        "blocking",
        "conditions",
        "jsontext",
        "patterns",
        "retry",
        "routing",
        "schemas",
        "units",
    ],
    "words": ["clock", "errors", "events"],
}
#: Imports within a room, each with its reason.
WITHIN = {
    ("routing", "patterns"): "a route holds its pattern",
    ("routing", "retry"): "and its policy",
    ("patterns", "conditions"): "a pattern is made of conditions",
    ("context", "outbox"): "what a handler sends goes through it",
    ("context", "replies"): "and so does what it replies",
    ("context", "state"): "what a plugin remembers",
    ("replies", "outbox"): "each is sent once",
    ("intake", "alerts"): "what comes in wrong is told",
    ("intake", "presence"): "what comes in shows that its instance is there",
    ("presence", "alerts"): "an instance that is not is told",
    ("dispatch", "limits"): "a call has a time limit",
    ("dispatch", "threads"): "a def handler runs in one",
    ("dispatch", "watchdog"): "and must let others run",
    ("operations", "pace"): "many are changed a batch at a time",
    ("operations", "replay"): "one of the operator's verbs",
    ("replay", "pace"): "and many are replayed so",
    ("backfill", "intake"): "what is fed in gets an id as what comes in does",
    ("instances", "transports"): "a token is compared as the webhook does it",
    ("alerts", "containment"): "what it leaves behind is the plugin's",
    ("alerts", "plugins"): "an alert names what a plugin registered",
    ("alerts", "threads"): "a def channel runs in one",
    ("options", "config"): "durations and sizes are written as everywhere in routes.yaml",
    ("handlers", "plugins"): "a route names what a plugin registered",
    ("handlers", "threads"): "what is def starts in one",
    ("lifecycle", "alerts"): "what does not start is told",
    ("lifecycle", "containment"): "what it leaves behind is its own",
    ("lifecycle", "handlers"): "handlers start and stop",
    ("lifecycle", "plugins"): "and so do plugins",
    ("pages", "containment"): "what they leave behind is the plugin's",
    ("pages", "plugins"): "a plugin offers them",
    ("pages", "threads"): "a def page is made in one",
    ("app", "loading"): "what was loaded is built",
    ("app", "pipeline"): "around what is served",
    ("pipeline", "loading"): "what was loaded is built",
    ("pytest_plugin", "testing"): "its fixture starts what is tested with",
    ("__main__", "cli"): "two names of one door",
}
LEVEL = {part: level for level, parts in enumerate(ROOMS.values()) for part in parts}


def part_of(module: str) -> str:
    """Return the part a module of the package belongs to: ``inbox.lanes`` to ``inbox``."""
    return module.partition(".")[0]


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        # What a user would have is data.
        if name != "__init__" and not name.startswith(("demo", "scaffold.template")):
            yield name, ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules of our own package that a module imports, without the package's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "router":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("router."):
            yield node.module.removeprefix("router.")
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("router.") for a in node.names if a.name.startswith("router."))


def test_every_part_has_a_room() -> None:
    assert {part_of(name) for name, _ in modules()} == set(LEVEL)


@pytest.mark.parametrize("tree", [pytest.param(tree, id=name) for name, tree in modules()])
def test_imports_go_one_way(tree: ast.Module, request: pytest.FixtureRequest) -> None:
    part = part_of(request.node.callspec.id)
    wrong = [
        target
        for target in {part_of(module) for module in imported(tree)} - {part}
        if LEVEL[target] <= LEVEL[part] and (part, target) not in WITHIN
    ]
    assert wrong == []


def test_every_reason_to_import_within_a_room_is_still_needed() -> None:
    used = {(part_of(name), part_of(module)) for name, tree in modules() for module in imported(tree)}
    assert set(WITHIN) <= used


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("pluggy", {"hookspecs", "plugins"}),
        ("yaml", {"config"}),
        ("sqlite3", {"inbox"}),
        ("jsonschema_rs", {"validation"}),
        ("uvicorn", {"cli"}),
        ("typer", {"cli"}),
        ("pytest", {"pytest_plugin"}),
        (
            "aiohttp",
            {"alerts", "context", "greenapi", "hookspecs", "httpclient", "outgoing", "pipeline"},
        ),
    ],
)
def test_a_library_is_known_in_one_place(library: str, allowed: set[str]) -> None:
    users = {
        part_of(name)
        for name, tree in modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == library for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == library)
    }
    assert users == allowed


#: Those who ask the system what time it is, each with its reason.
ASKS_THE_SYSTEM = {
    "clock": "everybody else asks it",
    "greenapi.simulator": "has a clock of its own, which runs faster",
    "inbox.sqlite.writer": "measures the disk",
    "intake": "ids sort by the time they were made",
    "pace": "an operator's command runs beside a router",
    "testing.clock": "waits for threads and the network",
    "watchdog": "measures the machine",
}


def test_nothing_else_asks_the_system_what_time_it_is() -> None:
    asking = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in {"datetime.now", "datetime.utcnow"})
        or (isinstance(node, ast.Import) and any(alias.name == "time" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "time")
    }
    assert {re.sub(r"^(greenapi\.simulator).*", r"\1", name) for name in asking} == set(ASKS_THE_SYSTEM)


def test_nothing_but_the_wiring_and_the_doors_reads_the_environment() -> None:
    readers = {
        part_of(name)
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
    }
    assert readers == {"cli"}

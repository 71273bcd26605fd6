"""``router check`` and ``router test``: is the configuration right, and does it do what it should."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import typer

from router.cli.notifications import event_of, read_notification
from router.cli.options import ConfigOption, JsonOption
from router.cli.output import show_json, show_rows
from router.config import RouteTest
from router.errors import ConfigError, RouterError
from router.events import JsonObject
from router.loading import Loaded, load
from router.routing import Table


def check(config: ConfigOption = Path(), as_json: JsonOption = False) -> None:
    """Check routes.yaml, the plugins it names and their options; show every problem at once."""
    try:
        loaded = load(config, os.environ)
    except ConfigError as exc:
        if not as_json:
            raise
        show_json([asdict(problem) for problem in exc.problems])
        raise typer.Exit(1) from None
    if as_json:
        show_json([])
    else:
        typer.echo(_summary(loaded))
        for error in loaded.failed:
            typer.echo(f"Not there, and not required: {error}")
        if loaded.held:
            typer.echo(f"Routes that wait for it: {', '.join(sorted(loaded.held))}")


def run_tests(config: ConfigOption = Path(), as_json: JsonOption = False) -> None:
    """Run the tests that routes.yaml holds: which notifications each route takes."""
    loaded = load(config, os.environ)
    table = Table(loaded.config.routes)
    tests = loaded.config.route_tests
    results = [_run(table, route, case) for route, cases in tests.items() for case in cases]
    if as_json:
        show_json(results)
    else:
        show_rows(results, ["route", "notification", "expected", "result"], "routes.yaml holds no tests")
    if any(result["result"] != "passed" for result in results):
        raise typer.Exit(1)


def _summary(loaded: Loaded) -> str:
    routes, plugins = loaded.config.routes, loaded.plugins.active
    named = ", ".join(str(plugin) for plugin in plugins) or "none"
    return f"{loaded.config.path}: no problems. Routes: {len(routes)}. Plugins: {named}."


def _run(table: Table, route: str, case: RouteTest) -> JsonObject:
    name = case.sample or str(case.file)
    expected = "matches" if case.matches else "does not match"
    try:
        event = event_of(read_notification(name))
    except RouterError as exc:
        return {"route": route, "notification": name, "expected": expected, "result": f"failed: {exc}"}
    found = next(explanation for explanation in table.explain(event) if explanation.route == route)
    result = "passed" if found.matched is case.matches else f"failed: {found.reason}"
    return {"route": route, "notification": name, "expected": expected, "result": result}

"""``router new-plugin``: a package for a plugin, to begin with."""

from __future__ import annotations

import os
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from router import operations
from router.cli.app import COMMANDS
from router.cli.options import ConfigOption
from router.cli.plugin_commands import plugins_dir_of
from router.config import Config, read
from router.plugins.candidates import files, installed
from router.routing import Table
from router.scaffold import Sample, check_name, make_package

#: With these pip builds without a network.
_BUILD = ("hatchling", "editables")


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the plugin is called: order-desk.")],
    event_id: Annotated[
        str | None,
        typer.Option("--from", metavar="ID", help="Test it with this event of the inbox, made anonymous."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where its folder is made.", show_default="here")
    ] = Path(),
    config: ConfigOption = Path(),
) -> None:
    """Make a package for a plugin: a handler, options, tests that pass, the route to paste."""
    plugins = [*files(plugins_dir_of(config)), *installed()]
    check_name(name, COMMANDS, {plugin.name for plugin in plugins})
    sample = None if event_id is None else _sample(event_id, read(config, os.environ).config())
    made = make_package(name, folder, sample)
    typer.echo(_next_steps(made))


def _sample(event_id: str, settings: Config) -> Sample:
    """Return what a stored event is without personal data; say which routes do not take it any more."""
    with operations.ledger_of(settings) as ledger:
        record = ledger.event(event_id)
    sample = Sample.of_record(record)
    table, taken = Table(settings.routes), {delivery.route for delivery in record.deliveries}
    for why in table.explain(sample.event):
        if why.route in taken and not why.matched:
            typer.echo(f"Route {why.route!r} takes the event, but not without personal data: {why.reason}")
    return sample


def _next_steps(made: Path) -> str:
    package = shlex.quote(str(made))
    is_offline = all(find_spec(each) for each in _BUILD)
    offline = "--no-build-isolation --no-deps " if is_offline else ""
    return (
        f"{made} is there. Next:\n\n"
        f"  pip install {offline}-e {package}\n"
        f"  pytest {package}\n"
        f"  router check    # with the route of {package}/README.md in routes.yaml"
    )

"""The command tree."""

from __future__ import annotations

from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer

from router.cli import (
    check,
    dead,
    demo,
    events,
    instances,
    plugins,
    routes,
    samples,
    schema,
    send,
    serve,
    simulate,
)
from router.cli.options import Settings

app = typer.Typer(
    name="router",
    help="Route GREEN-API notifications (WhatsApp, Telegram, MAX) to plugins.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(version_of("green-event-router"))
        raise typer.Exit


@app.callback()
def router(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", envvar="ROUTER_CONFIG", help="The routes.yaml to use.")
    ] = Path("routes.yaml"),
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hold what all commands share."""
    context.obj = Settings(config)


app.command("serve")(serve.serve)
app.command("check")(check.check)
app.command("test")(check.run_tests)
app.command("routes")(routes.routes)
app.command("plugins")(plugins.plugins)
app.add_typer(events.app, name="events")
app.add_typer(dead.app, name="dead")
app.add_typer(instances.app, name="instances")
app.command("send")(send.send)
app.command("samples")(samples.samples)
app.command("schema")(schema.schema)
app.command("simulate")(simulate.simulate)
app.command("demo")(demo.demo)

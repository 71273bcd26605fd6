"""The command tree. A command's module is imported when the command is used, so that each starts quickly.

What is no command of ours may be a plugin with commands of its own.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from router.cli.options import Settings

#: Command → where it is in this package: a function, or the commands of a noun.
COMMANDS = {
    "serve": "serve:serve",
    "check": "check:check",
    "test": "check:run_tests",
    "routes": "routes:routes",
    "plugins": "plugins:plugins",
    "new-plugin": "new_plugin:new_plugin",
    "events": "events:app",
    "dead": "dead:app",
    "outbox": "outbox:app",
    "instances": "instances:app",
    "send": "send:send",
    "simulate": "simulate:simulate",
    "demo": "demo:demo",
    "samples": "samples:samples",
    "schema": "schema:schema",
}


class _Commands(TyperGroup):
    """Finds commands by their names. Their types are click's, a private copy of typer's: hence ``Any``."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return _plugin_commands(cmd_name, ctx.params.get("config") or Path())
        module, _, name = COMMANDS[cmd_name].partition(":")
        return _command(cmd_name, getattr(import_module(f"router.cli.{module}"), name))


def _plugin_commands(name: str, config: Path) -> Any:
    """Return the commands of the plugin of that name; ``None`` if there is no such plugin."""
    return import_module("router.cli.plugin_commands").commands_of(name, config)


def _command(name: str, found: Any) -> Any:
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="router",
    cls=_Commands,
    help="Route GREEN-API notifications (WhatsApp, Telegram, MAX) to plugins. "
    "'router PLUGIN' has the commands of a plugin.",
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

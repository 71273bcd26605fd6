"""``router PLUGIN COMMAND``: the commands that a plugin offers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from router.config import read
from router.errors import ConfigError, NotFound, PluginError, RouterError
from router.plugins import Plugin, commands, load_named
from router.plugins.loading import told


def commands_of(name: str, config: Path) -> Any:
    """Return the commands of a plugin, a group of click's; ``None`` if there is no plugin of that name.

    Args:
        name: The plugin's name.
        config: A ``routes.yaml`` whose ``plugins_dir`` is looked into as well, if it can be read.

    Raises:
        PluginError: The plugin cannot be loaded, or offers what is no command.
        NotFound: It offers no commands.
    """
    try:
        plugin = load_named(name, plugins_dir_of(config))
    except NotFound:
        return None
    found = commands(plugin)
    if not found:
        raise NotFound(f"plugin {name!r} offers no commands: see 'router plugins {name}'")
    for command_name, command in found.items():
        _check(plugin, command_name, command)
    return typer.main.get_group(_group(plugin, found))


def _group(plugin: Plugin, found: dict[str, Callable[..., Any]]) -> typer.Typer:
    """Return the commands as one; what they raise is told with the plugin's name."""

    class Contained(TyperGroup):
        def invoke(self, ctx: Any) -> Any:
            try:
                return super().invoke(ctx)
            except (Abort, Exit, TyperException, RouterError):
                raise
            except Exception as exc:
                message = f"its command {ctx.invoked_subcommand!r} failed: {told(exc)}"
                raise PluginError(plugin.name, plugin.origin, message) from exc

    help_ = f"Commands of the plugin {plugin}."
    group = typer.Typer(name=plugin.name, help=help_, cls=Contained, no_args_is_help=True)
    for name, command in found.items():
        _add(group, name, command)
    return group


def _add(group: typer.Typer, name: str, command: Callable[..., Any]) -> None:
    if isinstance(command, typer.Typer):
        group.add_typer(command, name=name)
    else:
        group.command(name)(command)


def _check(plugin: Plugin, name: str, command: Callable[..., Any]) -> None:
    """See that typer can read a command, which it tells by many kinds of exceptions."""
    alone = typer.Typer()
    _add(alone, name, command)
    try:
        typer.main.get_group(alone)
    except Exception as exc:
        reason = " ".join(str(exc).split())
        message = f"registers command {name!r}, which cannot be used: {reason}"
        raise PluginError(plugin.name, plugin.origin, message) from exc


def plugins_dir_of(config: Path) -> Path | None:
    """Return the ``plugins_dir`` of a ``routes.yaml``; ``None`` if there is none, or it cannot be read."""
    try:
        found = read(config, os.environ).plugins_dir
    except ConfigError:
        return None
    return found if found is not None and found.is_dir() else None

"""``router PLUGIN COMMAND``: the commands that a plugin offers."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from router.config import read
from router.errors import ConfigError, NotFound
from router.plugins import commands, load_named


def commands_of(name: str, config: Path) -> typer.Typer | None:
    """Return the commands of a plugin; ``None`` if there is no plugin of that name.

    Args:
        name: The plugin's name.
        config: A ``routes.yaml`` whose ``plugins_dir`` is looked into as well, if it can be read.

    Raises:
        PluginError: The plugin cannot be loaded.
        NotFound: It offers no commands.
    """
    try:
        plugin = load_named(name, plugins_dir_of(config))
    except NotFound:
        return None
    found = commands(plugin)
    if not found:
        raise NotFound(f"plugin {name!r} offers no commands: see 'router plugins {name}'")
    group = typer.Typer(name=name, help=f"Commands of the plugin {plugin}.", no_args_is_help=True)
    for command_name, command in found.items():
        if isinstance(command, typer.Typer):
            group.add_typer(command, name=command_name)
        else:
            group.command(command_name)(command)
    return group


def plugins_dir_of(config: Path) -> Path | None:
    """Return the ``plugins_dir`` of a ``routes.yaml``; ``None`` if there is none, or it cannot be read."""
    try:
        found = read(config, os.environ).plugins_dir
    except ConfigError:
        return None
    return found if found is not None and found.is_dir() else None

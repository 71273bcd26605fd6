"""``routes.yaml`` and the plugins that it names: all that can be wrong before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from router import plugins
from router.config import Config, read
from router.errors import ConfigError, ConfigProblem
from router.plugins import Plugins


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration without problems, and the plugins it names."""

    config: Config
    plugins: Plugins


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Read ``routes.yaml`` and load the plugins it names.

    Raises:
        ConfigError: With every problem of the file and of the plugins.
    """
    document = read(path, environ)
    found = plugins.load(document.handler_names, document.plugins_dir)
    document.check_handlers(plugins.option_schemas(found.handlers))
    faulty = [
        ConfigProblem(exc.origin, 0, 0, f"plugin {exc.plugin!r}: {exc.message}") for exc in found.problems
    ]
    try:
        config = document.config()
    except ConfigError as exc:
        raise ConfigError([*exc.problems, *faulty]) from None
    if problems := [*faulty, *_not_yet(config)]:
        raise ConfigError(problems)
    return Loaded(config, found)


def _not_yet(config: Config) -> list[ConfigProblem]:
    """Return what the file may ask for but this version does not do: better told than silently ignored."""
    message = "alerts: channels are not in this version yet; every alert is in the log"
    return [ConfigProblem(str(config.path), 0, 0, message)] if config.alerts else []

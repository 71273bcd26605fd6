"""A ``routes.yaml`` that reads its secrets from files which are not there, loaded all the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from router.config import Config
from router.loading import load

_FILE = re.compile(r"\$\{file:([^}]+)\}")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def files_named(text: str) -> set[str]:
    """Return the files that the text says secrets are in, and that of the database's authority."""
    return set(_FILE.findall(text)) | set(re.findall(r"sslrootcert=([^&\"\s]+)", text))


def variables_named(text: str) -> set[str]:
    """Return the variables of the environment that the text refers to."""
    return set(_VARIABLE.findall(text))


def loaded(text: str, folder: Path) -> Config:
    """Load it with the router's own loader, and a secret in every file and variable that it names.

    Raises:
        ConfigError: It has problems.
    """
    (folder / "secret").write_text("of-letters-only\n", "utf-8")
    path = folder / "routes.yaml"
    path.write_text(_FILE.sub("${file:secret}", text), "utf-8")
    return load(path, _environ(text)).config


def _environ(text: str) -> Mapping[str, str]:
    return dict.fromkeys(variables_named(text), "of-letters-only")

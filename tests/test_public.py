"""What a plugin imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

import router


@pytest.mark.parametrize("name", router.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(router, name) is getattr(router, name)
    assert name in dir(router)


def test_every_public_name_has_one_home() -> None:
    assert sorted(name for names in router._HOMES.values() for name in names) == sorted(router.__all__)


def test_another_name_is_not_there() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Contex'"):
        from router import Contex  # type: ignore[attr-defined]  # noqa: F401


def test_who_imports_no_name_loads_nothing() -> None:
    heavy = ("router.", "structlog", "aiohttp")
    shown = f"import sys, router; print([m for m in sys.modules if m.startswith({heavy})])"
    assert (
        subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )

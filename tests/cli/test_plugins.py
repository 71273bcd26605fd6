from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def rows(ended_json: list[dict[str, object]]) -> list[dict[str, object]]:
    """Leave out what happens to be installed beside us."""
    return [row for row in ended_json if str(row["origin"]).startswith("plugins/")]


def test_plugins_are_listed_with_what_they_offer(router: Command) -> None:
    ended = router("plugins", "--json")
    assert ended.code == 0
    assert rows(ended.json) == [
        {
            "name": "shop",
            "version": None,
            "origin": "plugins/shop.py",
            "handlers": ["keep", "refuse"],
            "used": True,
            "problem": None,
        }
    ]


def test_a_plugin_with_a_problem_is_listed_with_it(router: Command, folder: Path) -> None:
    (folder / "plugins" / "broken.py").write_text("raise RuntimeError('no licence')")
    (folder / "plugins" / "idle.py").write_text("")
    ended = router("plugins", "--json")
    assert ended.code == 0
    assert rows(ended.json)[1:] == [
        {
            "name": "shop",
            "version": None,
            "origin": "plugins/shop.py",
            "handlers": ["keep", "refuse"],
            "used": True,
            "problem": None,
        },
        {
            "name": "broken",
            "version": None,
            "origin": "plugins/broken.py",
            "handlers": [],
            "used": False,
            "problem": "cannot be imported: RuntimeError: no licence",
        },
    ]


def test_plugins_can_be_listed_without_a_configuration(router: Command) -> None:
    ended = router("plugins", "--json", "--config", "gone.yaml")
    assert (ended.code, rows(ended.json)) == (0, [])
    assert not any(row["used"] for row in ended.json)


def test_plugins_are_a_table_for_people(router: Command) -> None:
    ended = router("plugins")
    assert ended.code == 0
    assert ended.out.splitlines()[0].split() == ["name", "version", "origin", "handlers", "used", "problem"]
    assert "plugins/shop.py" in ended.out

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def rows(ended_json: list[dict[str, object]]) -> list[dict[str, object]]:
    """Leave out what happens to be installed beside us."""
    return [row for row in ended_json if str(row["origin"]).startswith("plugins/")]


SHOP = {
    "name": "shop",
    "version": None,
    "origin": "plugins/shop.py",
    "status": "loaded",
    "used": True,
    "hooks": ["register_handlers"],
    "handlers": [
        {"name": "keep", "options": None, "routes": ["calls"]},
        {"name": "refuse", "options": None, "routes": ["messages"]},
    ],
    "channels": [],
    "problem": None,
}


def test_plugins_are_listed_with_what_they_offer(router: Command) -> None:
    ended = router("plugins", "--json")
    assert ended.code == 0
    assert rows(ended.json) == [SHOP]


def test_a_plugin_with_a_problem_is_listed_with_it(router: Command, folder: Path) -> None:
    (folder / "plugins" / "broken.py").write_text("raise RuntimeError('no licence')")
    (folder / "plugins" / "idle.py").write_text("")
    ended = router("plugins", "--json")
    assert ended.code == 0
    idle, shop, broken = rows(ended.json)
    assert (idle["name"], idle["status"], shop) == ("idle", "installed", SHOP)
    problem = broken.pop("problem")
    assert str(problem).startswith("cannot be imported: RuntimeError: no licence (")
    assert broken == {
        "name": "broken",
        "version": None,
        "origin": "plugins/broken.py",
        "status": "failed",
        "used": False,
        "hooks": [],
        "handlers": [],
        "channels": [],
    }


def test_plugins_can_be_listed_without_a_configuration(router: Command) -> None:
    ended = router("plugins", "--json", "--config", "gone.yaml")
    assert (ended.code, rows(ended.json)) == (0, [])
    assert not any(row["used"] for row in ended.json)


def test_plugins_are_a_table_for_people(router: Command) -> None:
    ended = router("plugins")
    assert ended.code == 0
    columns = ["name", "version", "origin", "status", "handlers", "routes", "problem"]
    assert ended.out.splitlines()[0].split() == columns
    assert "plugins/shop.py" in ended.out


OPTIONS = """
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from router import Duration, hookimpl

@dataclass
class Choice:
    text: str
    reply: str = "ok"

@dataclass
class Options:
    url: Annotated[str, Meta(description="Where to.")]
    timeout: Duration = Duration("5s")
    choices: list[Choice] = field(default_factory=list)
    only: Choice | None = None

def send(event): ...

@hookimpl
def register_handlers(register):
    register("send", send, options=Options)

@hookimpl
def register_alert_channels(register):
    register("beep", lambda alert: None, options={"additionalProperties": False})
"""


def test_one_plugin_is_shown_with_the_options_of_its_handlers(router: Command, folder: Path) -> None:
    (folder / "plugins" / "sender.py").write_text(OPTIONS)
    ended = router("plugins", "sender")
    assert ended.code == 0
    assert [line.split() for line in ended.out.splitlines()] == [
        ["name", "sender"],
        ["version", "-"],
        ["origin", "plugins/sender.py"],
        ["status", "installed"],
        ["problem", "-"],
        ["hooks", "register_handlers,", "register_alert_channels"],
        [],
        ["handler", "send"],
        ["option", "type", "default", "meaning"],
        ["url", "string", "required", "Where", "to."],
        ["timeout", "duration", "5s", "-"],
        ["choices", "list", "of", "object", "[]", "-"],
        ["choices[].text", "string", "required", "-"],
        ["choices[].reply", "string", "ok", "-"],
        ["only", "object", "|", "null", "-", "-"],
        ["only.text", "string", "required", "-"],
        ["only.reply", "string", "ok", "-"],
        [],
        ["alert", "channel", "beep"],
        ["takes", "no", "options"],
    ]


def test_a_plugin_that_is_not_there_is_said_so(router: Command) -> None:
    ended = router("plugins", "shpo")
    assert (ended.code, ended.err) == (1, "no plugin is named 'shpo': see 'router plugins'\n")

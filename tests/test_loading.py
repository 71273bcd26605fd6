"""What is wrong before anything runs: what the router can do without, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from router.errors import ConfigError
from router.loading import Loaded, load

GOOD = """
from router import hookimpl

async def good(event): ...

@hookimpl
def register_handlers(register):
    register("good", good)
"""
RAISES = "raise RuntimeError('no licence')"
#: Registers what is named, and fails when it is activated.
NOT_ACTIVE = """
from router import hookimpl

async def bad(event): ...

@hookimpl
def register_handlers(register):
    register("bad", bad)

@hookimpl
def register_alert_channels(register):
    register("channel", lambda alert: None)

@hookimpl
def register_pages(register):
    raise RuntimeError("no licence")
"""
ROUTE = "  - {name: bad, type: incomingCall, handler: bad"
CHANNEL = "alerts:\n  - {handler: channel"
NAMED = "plugins:\n  - {name: shop"


@dataclass(frozen=True)
class Case:
    """Something that names what is not there, or does not work."""

    #: The source of ``shop.py``; ``None``: there is none.
    shop: str | None
    #: What the router says where it is required.
    problems: list[str]
    #: What it says where it is not.
    failed: list[str]
    route: str | None = None
    settings: str | None = None
    #: The routes that wait.
    held: tuple[str, ...] = ()


BROKEN = "plugins/shop.py: plugin 'shop': "
NO_LICENCE = "RuntimeError: no licence"
CASES = {
    "handler missing": Case(
        None,
        ["routes.yaml:4:46: route 'bad' names handler 'bad'; installed handlers are "],
        ["plugin 'bad' (not installed): no plugin offers handler 'bad'"],
        route=ROUTE,
        held=("bad",),
    ),
    "channel missing": Case(
        None,
        ["routes.yaml:5:15: an alert names alert channel 'channel'; "],
        ["plugin 'channel' (not installed): no plugin offers alert channel 'channel'"],
        settings=CHANNEL,
    ),
    "plugin missing": Case(
        None,
        ["routes.yaml:5:12: the file names plugin 'shop'; installed plugins are "],
        ["plugin 'shop' (not installed): no plugin has this name"],
        settings=NAMED,
    ),
    "import of a handler's": Case(
        RAISES,
        ["routes.yaml:4:46: route 'bad' names handler 'bad'; ", f"{BROKEN}cannot be imported: {NO_LICENCE}"],
        [f"plugin 'shop' (plugins/shop.py): cannot be imported: {NO_LICENCE}"],
        route=ROUTE,
        held=("bad",),
    ),
    "import of a channel's": Case(
        RAISES,
        [
            "routes.yaml:5:15: an alert names alert channel 'channel'; ",
            f"{BROKEN}cannot be imported: {NO_LICENCE}",
        ],
        [f"plugin 'shop' (plugins/shop.py): cannot be imported: {NO_LICENCE}"],
        settings=CHANNEL,
    ),
    "import of one that is named": Case(
        RAISES,
        [f"{BROKEN}cannot be imported: {NO_LICENCE}"],
        [f"plugin 'shop' (plugins/shop.py): cannot be imported: {NO_LICENCE}"],
        settings=NAMED,
    ),
    "activation of a handler's": Case(
        NOT_ACTIVE,
        [
            "routes.yaml:4:46: route 'bad' names handler 'bad'; ",
            f"{BROKEN}its hook register_pages failed: {NO_LICENCE}",
        ],
        [f"plugin 'shop' (plugins/shop.py): its hook register_pages failed: {NO_LICENCE}"],
        route=ROUTE,
        held=("bad",),
    ),
    "activation of a channel's": Case(
        NOT_ACTIVE,
        [
            "routes.yaml:5:15: an alert names alert channel 'channel'; ",
            f"{BROKEN}its hook register_pages failed: {NO_LICENCE}",
        ],
        [f"plugin 'shop' (plugins/shop.py): its hook register_pages failed: {NO_LICENCE}"],
        settings=CHANNEL,
    ),
    "activation of one that is named": Case(
        NOT_ACTIVE,
        [f"{BROKEN}its hook register_pages failed: {NO_LICENCE}"],
        [f"plugin 'shop' (plugins/shop.py): its hook register_pages failed: {NO_LICENCE}"],
        settings=NAMED,
    ),
}


def write(folder: Path, case: Case, *, required: bool) -> Path:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "good.py").write_text(GOOD)
    if case.shop is not None:
        (folder / "plugins" / "shop.py").write_text(case.shop)
    end = "}" if required else ", required: false}"
    lines = ["plugins_dir: plugins", "routes:", "  - {name: good, type: incomingCall, handler: good}"]
    lines += [f"{named}{end}" for named in (case.route, case.settings) if named is not None]
    (folder / "routes.yaml").write_text("\n".join(lines))
    return Path("routes.yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin_with(found: list[str], expected: list[str]) -> bool:
    return len(found) == len(expected) and all(map(str.startswith, found, expected))


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(path, {})
    return [str(problem) for problem in raised.value.problems]


def told(loaded: Loaded) -> list[str]:
    return [str(error) for error in loaded.failed]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_required_is_refused_with_its_line(folder: Path, case: Case) -> None:
    found = problems(write(folder, case, required=True))
    assert begin_with(found, case.problems), found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_not_required_is_told_and_the_rest_runs(folder: Path, case: Case) -> None:
    loaded = load(write(folder, case, required=False), {})
    assert begin_with(told(loaded), case.failed), told(loaded)
    assert (loaded.held, "good" in loaded.plugins.handlers) == (frozenset(case.held), True)


def test_a_broken_file_that_nothing_needs_is_refused(folder: Path) -> None:
    found = problems(write(folder, Case(RAISES, [], []), required=True))
    assert begin_with(found, [f"{BROKEN}cannot be imported: {NO_LICENCE}"]), found


def test_a_broken_file_may_be_named_as_not_required(folder: Path) -> None:
    loaded = load(write(folder, Case(RAISES, [], [], settings=NAMED), required=False), {})
    assert (len(loaded.failed), loaded.held) == (1, frozenset())


def test_a_plugin_that_both_a_required_route_and_another_need_is_refused(folder: Path) -> None:
    path = write(folder, Case(RAISES, [], [], route=ROUTE), required=False)
    with path.open("a") as file:
        file.write("\n  - {name: needed, type: incomingCall, handler: bad}")
    found = problems(path)
    expected = ["routes.yaml:5:49: route 'needed' names handler 'bad'; ", f"{BROKEN}cannot be imported"]
    assert begin_with(found, expected), found


def test_a_plugin_that_is_not_required_cannot_make_a_route_that_is_wait(folder: Path) -> None:
    path = write(folder, Case(RAISES, [], [], settings=f"{ROUTE}}}\n{NAMED}"), required=False)
    found = problems(path)
    assert begin_with(found, ["routes.yaml:4:46: route 'bad' names handler 'bad'; "]), found


def test_options_of_a_handler_that_is_not_required_are_checked_where_it_is_there(folder: Path) -> None:
    source = GOOD.replace("good", "bad").replace("bad)", 'bad, options={"required": ["account"]})')
    path = write(folder, Case(source, [], [], route=ROUTE), required=False)
    found = problems(path)
    assert begin_with(found, ["routes.yaml:4:"]), found
    assert "'account'" in found[0]


def test_a_folder_that_is_not_there_is_refused_with_its_line(folder: Path) -> None:
    path = write(folder, Case(None, [], [], route=ROUTE), required=False)
    path.write_text(path.read_text().replace("plugins_dir: plugins", "plugins_dir: plugin"))
    found = problems(path)
    assert found[0].startswith("routes.yaml:1:14: plugins_dir"), found


OPTIONAL = {
    "route": (f"{ROUTE}, required: false}}", "bad", True),
    "route, of another": ("", "good", False),
    "plugin": (f"{ROUTE}}}\n{NAMED}, required: false}}", "bad", True),
    "plugin, required": (f"{ROUTE}}}\n{NAMED}}}", "bad", False),
    "plugin, required, and the route is not": (f"{ROUTE}, required: false}}\n{NAMED}}}", "bad", True),
}


@pytest.mark.parametrize(("text", "route", "optional"), OPTIONAL.values(), ids=OPTIONAL.keys())
def test_it_is_known_whether_the_router_can_do_without_a_handler(
    folder: Path, text: str, route: str, optional: bool
) -> None:
    shop = GOOD.replace("good", "bad")
    path = write(folder, Case(shop, [], [], settings=f"{text}\n#"), required=True)
    loaded = load(path, {})
    (plugin,) = [handler.plugin for name, handler in loaded.plugins.handlers.items() if name == route]
    assert loaded.is_optional(plugin, route) is optional


@pytest.mark.parametrize("required", [True, False])
def test_the_plugin_of_a_channel_is_as_optional_as_the_channel(folder: Path, required: bool) -> None:
    shop = "from router import hookimpl\n@hookimpl\ndef register_alert_channels(register):\n"
    shop += "    register('channel', lambda alert: None)\n"
    loaded = load(write(folder, Case(shop, [], [], settings=CHANNEL), required=required), {})
    assert loaded.is_optional(loaded.plugins.channels["channel"].plugin) is not required


def test_the_plugin_of_a_channel_that_is_required_and_a_route_that_is_not_is_required(folder: Path) -> None:
    shop = GOOD.replace("good", "bad")
    shop += "@hookimpl\ndef register_alert_channels(register):\n    register('channel', lambda alert: None)\n"
    path = write(folder, Case(shop, [], [], route=ROUTE, settings=f"{CHANNEL}}}\n#"), required=False)
    loaded = load(path, {})
    assert not loaded.is_optional(loaded.plugins.channels["channel"].plugin)

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from router import hookspecs
from router.alerts import Alerts
from router.errors import PluginError
from router.lifecycle import Lifecycle
from router.plugins import Plugins, Wanted, commands, load_all
from router.plugins import load as load_wanted

Install = Callable[..., None]

ECHO = """
from router import hookimpl

async def echo(event, context): ...

@hookimpl
def register_handlers(register):
    register("echo", echo)
"""


def registering(*calls: str, before: str = "") -> str:
    """The source of a plugin whose hook makes these calls of `register`."""
    hook = "\n    ".join(f"register({call})" for call in calls) or "pass"
    return (
        "import functools\n"
        "from router import hookimpl\n"
        "def handler(event, context): ...\n"
        f"{dedent(before)}\n"
        "@hookimpl\n"
        f"def register_handlers(register):\n    {hook}\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one-file plugins."""
    folder = tmp_path / "my_plugins"
    folder.mkdir()
    return folder


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one plugin, as pip would; it is gone after the test."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    modules: list[str] = []

    def install(plugin: str, source: str, *, version: str = "1.2.3") -> None:
        module = f"router_test_{plugin}"
        modules.append(module)
        (site / f"{module}.py").write_text(source)
        info = site / f"acme_{plugin}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{plugin}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[router.plugins]\n{plugin} = {module}\n")

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def load(handlers: Iterable[str], plugins_dir: Path | None = None) -> Plugins:
    return load_wanted(Wanted(handlers=frozenset(handlers)), plugins_dir)


def is_imported(plugin: str) -> bool:
    return f"router_test_{plugin}" in sys.modules


def messages(found: Plugins) -> list[str]:
    return [str(problem) for problem in found.problems]


# Files of plugins_dir


def test_a_file_of_the_folder_is_a_plugin(folder: Path) -> None:
    (folder / "shop.py").write_text(ECHO)
    found = load(["echo"], folder)
    (plugin,) = found.active
    assert (plugin.name, plugin.version, plugin.origin) == ("shop", None, str(folder / "shop.py"))
    assert str(plugin) == f"shop ({folder / 'shop.py'})"
    assert (found.handlers, found.problems) == (plugin.handlers, [])
    handler = found.handlers["echo"]
    assert (handler.name, handler.is_async, handler.options.schema, handler.plugin) == (
        "echo",
        True,
        None,
        plugin,
    )


def test_all_files_of_the_folder_are_loaded_in_the_order_of_their_names(folder: Path) -> None:
    for name in ("b", "a", "c"):
        (folder / f"{name}.py").write_text(registering(f'"{name}", handler'))
    found = load([], folder)
    assert [plugin.name for plugin in found.active] == ["a", "b", "c"]
    assert sorted(found.handlers) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["_draft.py", "__init__.py", "notes.txt", "shop.pyc", "shop.py.bak"])
def test_other_files_of_the_folder_are_left_alone(folder: Path, name: str) -> None:
    (folder / name).write_text("raise RuntimeError")
    found = load([], folder)
    assert (found.active, found.handlers, found.problems) == ([], {}, [])


def test_a_file_is_read_anew_each_time(folder: Path) -> None:
    (folder / "shop.py").write_text(registering('"old", handler'))
    load([], folder)
    (folder / "shop.py").write_text(registering('"another", handler'))
    assert list(load([], folder).handlers) == ["another"]


def test_a_file_may_hold_what_looks_up_its_own_module(folder: Path) -> None:
    before = """
    from __future__ import annotations
    from dataclasses import dataclass
    from typing import ClassVar
    @dataclass
    class Order:
        number: int
        kind: ClassVar[str] = "order"
    """
    (folder / "shop.py").write_text(dedent(before) + ECHO)
    assert load(["echo"], folder).problems == []


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    found = load([], tmp_path / "gone")
    assert messages(found) == [f"plugin 'plugins_dir' ({tmp_path / 'gone'}): there is no such folder"]


# Installed plugins


def test_an_installed_plugin_is_found_by_the_name_of_its_entry_point(install: Install) -> None:
    install("echo", ECHO)
    install("unrelated", "raise RuntimeError")
    found = load(["echo"])
    (plugin,) = found.active
    assert (plugin.name, plugin.version, plugin.origin, str(plugin)) == (
        "echo",
        "1.2.3",
        "acme-echo",
        "echo 1.2.3",
    )
    assert (list(found.handlers), found.problems) == (["echo"], [])
    assert (is_imported("echo"), is_imported("unrelated")) == (True, False)


def test_the_part_of_a_handlers_name_before_the_dot_is_its_plugins(install: Install) -> None:
    install("shop", registering('"shop.order", handler', '"shop.refund", handler'))
    install("unrelated", "raise RuntimeError")
    found = load(["shop.order", "shop.refund"])
    assert [plugin.name for plugin in found.active] == ["shop"]
    assert (found.problems, is_imported("unrelated")) == ([], False)


def test_where_names_differ_all_plugins_are_looked_at(install: Install) -> None:
    install("acme", ECHO)
    install("zebra", registering('"zebra", handler'))
    found = load(["echo"])
    assert [plugin.name for plugin in found.active] == ["acme"]
    assert {"echo", "zebra"} <= found.handlers.keys()  # what else there is, to suggest it
    assert found.problems == []


def test_installed_is_not_active(install: Install) -> None:
    install("echo", ECHO)
    assert (load([]).active, is_imported("echo")) == ([], False)


def test_a_file_of_the_folder_comes_before_an_installed_plugin(install: Install, folder: Path) -> None:
    install("echo", "raise RuntimeError")
    (folder / "mine.py").write_text(ECHO)
    found = load(["echo"], folder)
    assert (found.handlers["echo"].plugin.name, found.problems) == ("mine", [])


def test_a_broken_plugin_nobody_asked_for_is_no_problem(install: Install) -> None:
    install("acme", ECHO)
    install("broken", "raise RuntimeError('no licence')")
    assert load(["echo"]).problems == []


def test_a_broken_plugin_may_be_why_a_handler_is_missing(install: Install) -> None:
    install("broken", "raise RuntimeError('no licence')")
    found = load(["echo"])
    (message,) = messages(found)
    assert message.startswith(
        "plugin 'broken' (acme-broken): cannot be imported: RuntimeError: no licence (/"
    )
    assert message.endswith("/router_test_broken.py:1)")  # where to look


def test_a_handler_that_nobody_offers_is_simply_missing(install: Install) -> None:
    install("acme", ECHO)
    found = load(["ecko"])
    assert ("ecko" in found.handlers, "echo" in found.handlers) == (False, True)
    assert (found.active, found.problems) == ([], [])


def test_load_all_finds_everything(install: Install, folder: Path) -> None:
    install("echo", ECHO)
    install("broken", "import nowhere_to_be_found")
    (folder / "mine.py").write_text(registering('"mine", handler'))
    found = load_all(folder)
    assert {"echo", "mine"} <= {plugin.name for plugin in found.active}
    (message,) = messages(found)
    assert "cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'" in message


# Two that offer the same


def test_two_plugins_with_one_handler_are_both_named(folder: Path) -> None:
    (folder / "a.py").write_text(ECHO)
    (folder / "b.py").write_text(ECHO)
    found = load(["echo"], folder)
    assert messages(found) == [
        f"plugin 'b' ({folder / 'b.py'}): offers handler 'echo', which plugin 'a' ({folder / 'a.py'}) "
        "offers too: remove one of the two"
    ]
    assert found.handlers["echo"].plugin.name == "a"


def test_two_installed_plugins_with_one_handler_are_both_named(install: Install) -> None:
    install("acme", ECHO)
    install("bolt", ECHO)
    assert messages(load(["echo"])) == [
        "plugin 'bolt' (acme-bolt): offers handler 'echo', which plugin 'acme' (acme-acme) offers too: "
        "remove one of the two"
    ]


def test_two_that_nobody_asked_for_do_not_matter(install: Install) -> None:
    install("acme", registering('"same", handler'))
    install("bolt", registering('"same", handler'))
    install("cord", registering('"wanted", handler'))
    assert load(["wanted"]).problems == []


# Plugins that cannot be used

BROKEN = {
    "syntax": ("def (", "cannot be imported: SyntaxError: "),
    "import": (
        "import nowhere_to_be_found",
        "cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    ),
    "exit": ("import sys\nsys.exit(4)", "cannot be imported: SystemExit: 4"),
    "error of several lines": (
        "raise ValueError('one\\ntwo')",
        "cannot be imported: ValueError: one two",
    ),
    "misspelt hook": (
        ECHO.replace("def register_handlers", "def register_handler"),
        "implements an unknown hook 'register_handler'; did you mean 'register_handlers'?",
    ),
    "no such hook": (
        "from router import hookimpl\n@hookimpl\ndef on_event(event): ...",
        "implements an unknown hook 'on_event'; hooks are register_handlers",
    ),
    "wrong argument": (
        "from router import hookimpl\n@hookimpl\ndef register_handlers(registry): ...",
        "its hook register_handlers asks for 'registry'; did you mean 'register'?",
    ),
    "async hook": (
        "from router import hookimpl\n@hookimpl\nasync def register_handlers(register): ...",
        "its hook register_handlers is async def: hooks that register are called, not awaited",
    ),
    "hook raises": (
        registering("1/0"),
        "its hook register_handlers failed: ZeroDivisionError: division by zero",
    ),
    "hook exits": (registering("exit()"), "its hook register_handlers failed: SystemExit: None"),
    "arguments missing": (registering('"echo"'), "its hook register_handlers failed: TypeError: "),
    "no callable": (registering('"echo", 5'), "registers handler 'echo', which is 5 and cannot be called"),
    "nothing": (registering('"echo", None'), "registers handler 'echo', which is None and cannot be called"),
    "generator": (
        registering('"echo", gen', before="def gen(event, context): yield"),
        "registers handler 'echo', which is a generator and does nothing when called: it has a yield",
    ),
    "async generator": (
        registering('"echo", gen', before="async def gen(event, context): yield"),
        "registers handler 'echo', which is a generator and does nothing when called: it has a yield",
    ),
    "unknown parameter": (
        registering('"echo", h', before="async def h(event, context, session): ..."),
        "registers handler 'echo', which asks for 'session'; it may ask for event, context, options, ",
    ),
    "misspelt parameter": (
        registering('"echo", h', before="async def h(event, option): ..."),
        "registers handler 'echo', which asks for 'option'; did you mean 'options'?",
    ),
    "http in a thread": (
        registering('"echo", h', before="def h(event, http): ..."),
        "registers handler 'echo', which asks for 'http', which only an async def can use",
    ),
    "a parameter that has to be named": (
        registering('"echo", h', before="def h(event, context, *, session): ..."),
        "registers handler 'echo', which asks for 'session'; it may ask for",
    ),
    "method of no object": (
        registering('"echo", H.go', before="class H:\n    def go(self, event, context): ..."),
        "registers handler 'echo', which asks for 'self'; it may ask for",
    ),
    "class that cannot be called": (
        registering('"echo", H', before="class H:\n    def handle(self, event, context): ..."),
        "registers handler 'echo', which is <class 'router_plugins_dir.shop.H'> and cannot be called",
    ),
    "class made with something else": (
        registering(
            '"echo", H',
            before="class H:\n    def __init__(self, db): ...\n    def __call__(self, event): ...",
        ),
        "registers handler 'echo', which asks for 'db'; it may ask for options, logger, http, route",
    ),
    "class called with something else": (
        registering('"echo", H', before="class H:\n    def __call__(self, event, loger): ..."),
        "registers handler 'echo', which asks for 'loger'; did you mean 'logger'?",
    ),
    "empty name": (
        registering('"", handler'),
        "registers a handler named '': a name is a text that is not empty",
    ),
    "no name": (
        registering("handler, handler"),
        "registers a handler named <function handler at ",
    ),
    "twice": (registering('"echo", handler', '"echo", handler'), "registers handler 'echo' twice"),
    "no schema": (
        registering('"echo", handler, options={"type": "objekt"}'),
        "registers handler 'echo', which describes options that cannot be checked: no JSON Schema: options",
    ),
    "a text for a schema": (
        registering('"echo", handler, options="object"'),
        "registers handler 'echo', which describes options that cannot be checked: expected a JSON Schema",
    ),
}


@pytest.mark.parametrize(("source", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_plugin_that_cannot_be_used_is_one_problem_in_one_line(
    folder: Path, source: str, message: str
) -> None:
    (folder / "fine.py").write_text(registering('"fine", handler'))
    (folder / "shop.py").write_text(source)
    found = load(["echo"], folder)
    assert [plugin.name for plugin in found.active] == ["fine"]
    assert list(found.handlers)[:1] == ["fine"]
    problem = next(problem for problem in found.problems if problem.plugin == "shop")
    assert (problem.origin, problem.message[: len(message)]) == (str(folder / "shop.py"), message)
    assert "\n" not in str(problem)
    assert isinstance(problem, PluginError)


def test_a_person_can_still_interrupt_an_import(folder: Path) -> None:
    (folder / "slow.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load([], folder)


# Handlers

HANDLERS = {
    "def": ("handler", "", False),
    "async def": ("h", "async def h(event, context): ...", True),
    "lambda": ("lambda event, context: None", "", False),
    "object": ("H()", "class H:\n    def __call__(self, event, context): ...", False),
    "async object": ("H()", "class H:\n    async def __call__(self, event, context): ...", True),
    "method": ("H().go", "class H:\n    def go(self, event, context): ...", False),
    "async method": ("H().go", "class H:\n    async def go(self, event, context): ...", True),
    "async class method": (
        "H.go",
        "class H:\n    @classmethod\n    async def go(cls, event, context): ...",
        True,
    ),
    "partial": ("functools.partial(handler)", "", False),
    "async partial": ("functools.partial(h, x=1)", "async def h(event, context, x): ...", True),
    "partial of a partial": (
        "functools.partial(functools.partial(h, x=1), y=1)",
        "async def h(event, context, x, y): ...",
        True,
    ),
    "partial of an async object": (
        "functools.partial(H())",
        "class H:\n    async def __call__(self, event, context): ...",
        True,
    ),
    "any arguments": ("h", "def h(*args, **kwargs): ...", False),
    "defaults": ("h", "def h(event, context=None, *, session=None): ...", False),
    "partial of more": ("functools.partial(h, 1)", "def h(session, event, context): ...", False),
    "class": ("H", "class H:\n    def __call__(self, event, context): ...", False),
    "async class": ("H", "class H:\n    async def __call__(self, event): ...", True),
    "other names": ("h", "def h(_event, ctx): ...", False),
    "what it asks for": ("h", "async def h(options, *, http, state): ...", True),
    "nothing": ("h", "async def h(): ...", True),
    "decorator that adds an argument": (
        "h",
        """
        def with_session(function):
            @functools.wraps(function)
            def call(event, context):
                return function(event, context, "session")
            return call
        @with_session
        def h(event, context, session): ...
        """,
        False,
    ),
    "builtin without a signature": ("max", "", False),
}


@pytest.mark.parametrize(("handler", "before", "is_async"), HANDLERS.values(), ids=HANDLERS.keys())
def test_it_is_known_which_handlers_are_awaited(
    folder: Path, handler: str, before: str, is_async: bool
) -> None:
    (folder / "shop.py").write_text(registering(f'"it", {handler}', before=before))
    found = load(["it"], folder)
    assert (found.problems, found.handlers["it"].is_async) == ([], is_async)


def test_the_schemas_of_options_are_kept(folder: Path) -> None:
    (folder / "shop.py").write_text(
        registering('"strict", handler, options={"type": "object", "maxProperties": 0}', '"lax", handler')
    )
    found = load([], folder).handlers
    assert {name: handler.options.schema for name, handler in found.items()} == {
        "strict": {"type": "object", "maxProperties": 0},
        "lax": None,
    }


# Hooks

HOOKS = {
    name: list(inspect.signature(getattr(hookspecs, name)).parameters) for name in hookspecs.hook_names()
}
SUBSETS = [
    (hook, arguments) for hook, names in HOOKS.items() for arguments in [[], *([n] for n in names), names]
]


def hook_source(hook: str, arguments: Iterable[str]) -> str:
    """The source of a plugin that implements a hook and writes down what it is given."""
    names = list(arguments)
    kind = "async def" if inspect.iscoroutinefunction(getattr(hookspecs, hook)) else "def"
    return (
        "from router import hookimpl\n"
        "given = []\n"
        "@hookimpl\n"
        f"{kind} {hook}({', '.join(names)}):\n"
        f"    given.append([{', '.join(names)}])\n"
    )


@pytest.mark.parametrize(("hook", "arguments"), SUBSETS, ids=str)
async def test_a_hook_may_take_any_of_its_arguments(folder: Path, hook: str, arguments: list[str]) -> None:
    (folder / "shop.py").write_text(hook_source(hook, arguments))
    (plugin,) = load([], folder).active
    assert plugin.hooks == (hook,)
    commands(plugin)
    handlers = Lifecycle([plugin], [], is_optional=lambda *_: False, hold=lambda _: None, alerts=Alerts(600))
    await handlers.start(None)
    await handlers.stop()
    (given,) = sys.modules["router_plugins_dir.shop"].given
    assert len(given) == len(arguments)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_wrong_argument_of_a_hook_is_named_with_a_suggestion(folder: Path, hook: str) -> None:
    right = HOOKS[hook][0]
    (folder / "shop.py").write_text(hook_source(hook, [f"{right}s"]))
    (problem,) = load([], folder).problems
    assert problem.message == f"its hook {hook} asks for '{right}s'; did you mean {right!r}?"


def test_each_wrong_argument_of_a_hook_is_named(folder: Path) -> None:
    (folder / "shop.py").write_text(hook_source("startup", ["zebra", "task", "http"]))
    (problem,) = load([], folder).problems
    expected = "its hook startup asks for 'task', 'zebra'; it may ask for tasks, routes, http, logger"
    assert problem.message == expected


@pytest.mark.parametrize("hook", HOOKS)
def test_a_misspelt_hook_is_named_with_a_suggestion(folder: Path, hook: str) -> None:
    (folder / "shop.py").write_text("from router import hookimpl\n@hookimpl\n" + f"def {hook}x(): ...\n")
    (problem,) = load([], folder).problems
    assert problem.message == f"implements an unknown hook '{hook}x'; did you mean {hook!r}?"


def test_where_a_file_cannot_be_read_its_own_line_is_told(folder: Path) -> None:
    (folder / "shop.py").write_text("x = 1\ndef (")
    (problem,) = load([], folder).problems
    assert problem.message == "cannot be imported: SyntaxError: invalid syntax (shop.py, line 2)"


def test_a_plugin_that_holds_up_the_start_is_named_beside_what_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.plugins.loading.SLOW", 0.01)
    (folder / "shop.py").write_text("import sys\nwhile not sys.stderr.getvalue(): ...\n")
    load([], folder)
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"plugin 'shop' ({folder / 'shop.py'}): its import takes longer than 0.01 s\n",
    )

"""Loading one plugin: importing it, and calling the hooks in which it offers things."""

from __future__ import annotations

import inspect
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pluggy

from router import hookspecs
from router.errors import PluginError
from router.plugins.candidates import Candidate
from router.plugins.offers import channels_of, commands_of, handlers_of, pages_of, schemas_of
from router.plugins.plugin import Plugin

#: Seconds after which a plugin that holds up the start is named.
SLOW = 2.0
#: Where the frames are that lead to a plugin.
_HERE = str(Path(__file__).parent)


def _print(message: str) -> None:
    """Tell before there is a log, and where a command's output goes on being of use."""
    print(message, file=sys.stderr, flush=True)


def load_one(candidate: Candidate) -> Plugin:
    """Import one plugin and ask it for its handlers and alert channels.

    Raises:
        PluginError: It cannot be imported, or implements a hook that does not exist or not as it is,
            or registers something that is none.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    found = _import(candidate)
    try:
        manager.register(found, candidate.name)
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        raise PluginError(candidate.name, candidate.origin, _about_hooks(exc)) from exc
    hooks = tuple(name for name in hookspecs.hook_names() if getattr(manager.hook, name).get_hookimpls())
    plugin = Plugin(candidate.name, candidate.version, candidate.origin, manager, hooks)
    call_hook(plugin, "register_handlers", register=handlers_of(plugin))
    call_hook(plugin, "register_alert_channels", register=channels_of(plugin))
    return plugin


def activate(plugin: Plugin) -> None:
    """Ask a plugin that is in use for all else it offers the running router.

    Raises:
        PluginError: A hook failed, or registers something that is none.
    """
    call_hook(plugin, "register_schemas", register=schemas_of(plugin))
    call_hook(plugin, "register_pages", register=pages_of(plugin))


def commands(plugin: Plugin) -> dict[str, Callable[..., Any]]:
    """Ask a plugin for its commands, by name.

    Raises:
        PluginError: The hook failed, or registers something that is none.
    """
    found: dict[str, Callable[..., Any]] = {}
    call_hook(plugin, "register_commands", register=commands_of(plugin, found))
    return found


def call_hook(plugin: Plugin, name: str, **arguments: Any) -> None:
    """Call one hook that is not awaited.

    Raises:
        PluginError: Whatever it raised.
    """
    with told_if_slow(plugin.name, plugin.origin, f"its hook {name}"):
        try:
            results: Sequence[object] = getattr(plugin.manager.hook, name)(**arguments)
        except PluginError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # whatever it is, it is this plugin's and nobody else's
            raise PluginError(plugin.name, plugin.origin, f"its hook {name} failed: {told(exc)}") from exc
    for coroutine in filter(inspect.iscoroutine, results):
        coroutine.close()
        message = f"its hook {name} is async def: hooks that register are called, not awaited"
        raise PluginError(plugin.name, plugin.origin, message)


@contextmanager
def told_if_slow(plugin: str, origin: str, what: str, tell: Callable[[str], None] = _print) -> Iterator[None]:
    """Name a plugin that holds up the router: nothing can be done about it but to tell."""
    message = f"plugin {plugin!r} ({origin}): {what} takes longer than {SLOW:g} s"
    timer = threading.Timer(SLOW, tell, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def told(exc: BaseException) -> str:
    """Return an exception in one line, with the place where it was raised."""
    text = " ".join(f"{type(exc).__name__}: {exc}".split()) if str(exc) else type(exc).__name__
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if _is_theirs(frame.filename)]
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})" if frames else text


def _is_theirs(filename: str) -> bool:
    return "importlib" not in filename and "pluggy" not in filename and not filename.startswith(_HERE)


def _import(candidate: Candidate) -> object:
    with told_if_slow(candidate.name, candidate.origin, "its import"):
        try:
            return candidate.import_module()
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # sys.exit, too, is this plugin's and nobody else's
            message = f"cannot be imported: {told(exc)}"
            raise PluginError(candidate.name, candidate.origin, message) from exc


def _about_hooks(exc: pluggy.PluginValidationError) -> str:
    """Return pluggy's message about a hook in our words, with a suggestion for a misspelt name."""
    unknown = re.search(r"unknown hook '(\w+)'", str(exc))
    if unknown is not None:
        near = get_close_matches(unknown[1], hookspecs.hook_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"hooks are {', '.join(hookspecs.hook_names())}"
        return f"implements an unknown hook {unknown[1]!r}; {hint}"
    return _about_arguments(str(exc)) or " ".join(str(exc).split())


def _about_arguments(message: str) -> str | None:
    """Return what is wrong with the arguments of a hook: pluggy's message names function and arguments."""
    found = re.search(r"for hook '(\w+)'.*?definition: .*?\nArgument\(s\) \{(.*?)\}", message, re.DOTALL)
    if found is None:
        return None
    spec = inspect.signature(getattr(hookspecs, found[1]))
    wrong = sorted(re.findall(r"\w+", found[2]))
    near = get_close_matches(wrong[0], spec.parameters, n=1) if len(wrong) == 1 else []
    hint = f"did you mean {near[0]!r}?" if near else f"it may ask for {', '.join(spec.parameters)}"
    return f"its hook {found[1]} asks for {', '.join(map(repr, wrong))}; {hint}"

"""Calling a function with the arguments that it asks for by their names, as pytest calls a test."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import Parameter
from typing import Any

from router.errors import ArgumentsError

_VARIABLE = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
#: So alike that one was probably meant to be the other.
_MISSPELT = 0.75


@dataclass(frozen=True, slots=True)
class Arguments:
    """Which arguments a function wants."""

    #: In the order in which the function has them.
    names: tuple[str, ...]
    #: They are given by position; by their names otherwise.
    by_position: bool

    def bind(
        self, call: Callable[..., Any], take: Callable[[Any, str], Any] = getattr
    ) -> Callable[[Any], Any]:
        """Return a function of one value, which calls ``call`` with what is taken from that value."""
        names = self.names
        if self.by_position:
            return lambda source: call(*[take(source, name) for name in names])
        return lambda source: call(**{name: take(source, name) for name in names})


def asked_for(call: Callable[..., Any], known: Sequence[str]) -> Arguments:
    """Return the arguments that a function asks for.

    Args:
        call: A function, a method, a class or an object that can be called.
        known: The names of what it may be given. Where just the first two are wanted, they may go by
            other names.

    Raises:
        ArgumentsError: It asks for something else.
    """
    parameters = _parameters(call)
    if parameters is None:
        return Arguments(tuple(known[:2]), by_position=True)
    wanted = [p for p in parameters if p.default is Parameter.empty or p.name in known]
    wrong = [p for p in wanted if p.name not in known or p.kind is Parameter.POSITIONAL_ONLY]
    if not wrong:
        in_order = wanted == parameters[: len(wanted)] and Parameter.KEYWORD_ONLY not in {
            p.kind for p in wanted
        }
        return Arguments(tuple(p.name for p in wanted), by_position=in_order)
    if _are_the_first_two(wanted, known):
        return Arguments(tuple(known[:2]), by_position=True)
    raise ArgumentsError(_about(wrong[0], known))


def _parameters(call: Callable[..., Any]) -> list[Parameter] | None:
    """Return what a function takes, or ``None`` if it takes anything, or nothing is known of it."""
    try:
        # What a decorator wraps may take other arguments than what is called.
        signature = inspect.signature(call, follow_wrapped=False)
        if any(p.kind is Parameter.VAR_KEYWORD for p in signature.parameters.values()):
            signature = inspect.signature(call)
    except (TypeError, ValueError):  # of some builtins nothing is known
        return None
    parameters = list(signature.parameters.values())
    if parameters and all(p.kind in _VARIABLE for p in parameters):
        return None
    return [p for p in parameters if p.kind not in _VARIABLE]


def _are_the_first_two(wanted: Sequence[Parameter], known: Sequence[str]) -> bool:
    if len(wanted) != 2 or any(p.kind is Parameter.KEYWORD_ONLY for p in wanted):
        return False
    return not any(get_close_matches(p.name, known[2:], n=1, cutoff=_MISSPELT) for p in wanted)


def _about(parameter: Parameter, known: Sequence[str]) -> str:
    name = parameter.name
    if name in known:
        return f"takes {name!r} by position only, and is given it by name"
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it may ask for {', '.join(known)}"
    return f"asks for {name!r}; {hint}"

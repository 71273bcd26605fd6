"""Functions get the arguments that they ask for by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from router.arguments import asked_for
from router.errors import ArgumentsError

KNOWN = ("event", "context", "options", "logger")
SOURCE = SimpleNamespace(event="E", context="C", options="O", logger="L")


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


@decorated
def behind_a_decorator(options: Any, event: Any) -> Any:
    return options, event


class Handler:
    def __call__(self, logger: Any, event: Any) -> Any:
        return logger, event


CALLS: dict[str, tuple[Callable[..., Any], Any]] = {
    "both": (lambda event, context: (event, context), ("E", "C")),
    "turned around": (lambda context, event: (context, event), ("C", "E")),
    "one": (lambda options: options, "O"),
    "none": (lambda: "nothing", "nothing"),
    "by keyword": (lambda event, *, logger: (event, logger), ("E", "L")),
    "other names": (lambda e, ctx: (e, ctx), ("E", "C")),
    "other names, by position only": (lambda e, c, /: (e, c), ("E", "C")),
    "one other name": (lambda event, _: (event, _), ("E", "C")),
    "a default of its own": (lambda event, session="S": (event, session), ("E", "S")),
    "a default before what is known": (lambda session="S", event=None: (session, event), ("S", "E")),
    "a default for what is known": (lambda event, options=None: (event, options), ("E", "O")),
    "anything": (lambda *args: args, ("E", "C")),
    "anything more": (lambda event, *args, **more: (event, args, more), ("E", (), {})),
    "behind a decorator": (behind_a_decorator, ("O", "E")),
    "object": (Handler(), ("L", "E")),
    "partial": (functools.partial(lambda session, event: (session, event), "S"), ("S", "E")),
}


@pytest.mark.parametrize(("call", "result"), CALLS.values(), ids=CALLS.keys())
def test_a_function_is_called_with_what_it_asks_for(call: Callable[..., Any], result: Any) -> None:
    assert asked_for(call, KNOWN).bind(call)(SOURCE) == result


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "unknown": (
        lambda event, context, session: None,
        "asks for 'session'; it may ask for event, context, options, logger",
    ),
    "misspelt": (lambda event, loger: None, "asks for 'loger'; did you mean 'logger'?"),
    "one unknown": (lambda e: None, "asks for 'e'; it may ask for event, context, options, logger"),
    "unknown by keyword": (
        lambda event, *, db: None,
        "asks for 'db'; it may ask for event, context, options, logger",
    ),
    "known by position only": (
        lambda options, /: None,
        "takes 'options' by position only, and is given it by name",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_nobody_can_give_is_named(call: Callable[..., Any], message: str) -> None:
    with pytest.raises(ArgumentsError) as raised:
        asked_for(call, KNOWN)
    assert str(raised.value) == message

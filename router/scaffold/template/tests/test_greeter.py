"""The plugin in a router that runs in the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from router.errors import ConfigError, QuotaExceeded
from router.testing import StartRouter, make_event

import router_greeter as plugin

#: As in the README.
ROUTES = """
routes:
  - name: greeter
    type: incomingMessageReceived
    when: {message_type: [textMessage]}
    handler: greeter
    options: {greeting: Hello}
"""
#: A notification as GREEN-API sends it.
EVENT: dict[str, Any] = json.loads((Path(__file__).parent / "event.json").read_text("utf-8"))


def taking_everything(**options: Any) -> list[dict[str, Any]]:
    """Return a route for whatever comes."""
    return [
        {
            "name": "greeter",
            "type": "*",
            "handler": "greeter",
            "options": options,
        }
    ]


async def test_the_event_is_handled(router_harness: StartRouter) -> None:
    router = await router_harness(ROUTES, plugins=[plugin], instances=[1101000001])
    await router.send(EVENT)
    await router.settle()
    router.assert_done("greeter")
    router.assert_replied("Hello, Anna!")


async def test_the_greeting_is_an_option(router_harness: StartRouter) -> None:
    router = await router_harness(taking_everything(greeting="Good day"), plugins=[plugin])
    await router.send(make_event(sender_name="Bo"))
    await router.settle()
    router.assert_replied("Good day, Bo!")


@pytest.mark.parametrize("options", [{"greeting": ""}, {"greeting": 5}, {"greetin": "Hello"}], ids=str)
async def test_a_wrong_option_is_found_at_the_start(
    options: dict[str, Any], router_harness: StartRouter
) -> None:
    with pytest.raises(ConfigError, match="route 'greeter': options"):
        await router_harness(taking_everything(**options), plugins=[plugin])


async def test_what_could_not_be_sent_is_sent_by_the_next_attempt(router_harness: StartRouter) -> None:
    router = await router_harness(taking_everything(), plugins=[plugin])
    router.api.answer("sendMessage", QuotaExceeded)
    await router.send(make_event(sender_name="Bo"))
    await router.settle()
    router.assert_no_reply()
    await router.advance("1m")
    router.assert_done("greeter")
    assert router.replies == ["Hello, Bo!"]

"""Requests of other systems, from the webhook to GREEN-API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.errors import QuotaExceeded
from router.testing import RouterHarness, make_event

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROUTES = """
    routes:
      - name: outbound
        type: sendRequest
        handler: outbound
        retry: {attempts: 3, first: 1s, jitter: 0}
    """
CHAT = "79001234567@c.us"


def request(**more: Any) -> dict[str, Any]:
    return {
        "typeWebhook": "sendRequest",
        "instanceData": {"idInstance": 1101000001},
        "id": "order-17-paid",
        "chatId": CHAT,
        "arguments": {"message": "Your order 17 is paid."},
        **more,
    }


@pytest.fixture
async def router() -> AsyncIterator[RouterHarness]:
    async with RouterHarness(ROUTES, instances=[1101000001]) as router:
        yield router


async def test_a_request_is_sent(router: RouterHarness) -> None:
    receipt = await router.send(request())
    await router.settle()
    assert receipt.status == "accepted"
    router.assert_done("outbound")
    router.assert_sent("sendMessage", chatId=CHAT, message="Your order 17 is paid.")


async def test_the_same_request_is_sent_once(router: RouterHarness) -> None:
    await router.send(request())
    receipt = await router.send(request())
    await router.settle()
    assert (receipt.status, len(router.api.sent)) == ("duplicate", 1)


async def test_another_method_may_be_asked_for(router: RouterHarness) -> None:
    await router.send(request(method="sendLocation", arguments={"latitude": 1.5, "longitude": 2.5}))
    await router.settle()
    router.assert_sent("sendLocation", chatId=CHAT, latitude=1.5, longitude=2.5)


async def test_requests_of_a_chat_are_sent_in_order_though_one_is_tried_again(router: RouterHarness) -> None:
    router.api.answer("sendMessage", QuotaExceeded(1101000001, "sendMessage", "no", status=466), times=1)
    for number in range(3):
        await router.send(request(id=str(number), arguments={"message": str(number)}))
    await router.settle()
    assert router.deliveries()[0].attempts == 1
    await router.advance("5s")
    router.assert_done("outbound", count=3)
    # The first was refused, and then came before those that waited for it.
    assert router.replies[-3:] == ["0", "1", "2"]


async def test_a_lost_answer_is_not_followed_by_a_second_message(router: RouterHarness) -> None:
    router.api.lose_answer("sendMessage")
    await router.send(request())
    await router.settle()
    await router.advance("1h")
    assert len(router.dead) == 1
    assert len(router.api.sent) == 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"method": "logout"}, "method 'logout' may not be asked for"),
        (
            {"method": "setSettings", "arguments": {"webhookUrl": ""}},
            "method 'setSettings' may not be asked for",
        ),
    ],
)
async def test_what_may_not_be_asked_for_is_given_up(
    router: RouterHarness, more: dict[str, Any], reason: str
) -> None:
    await router.send(request(**more))
    await router.settle()
    router.assert_dead("outbound", reason=reason)
    assert router.api.sent == []


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"chatId": None}, "$.chatId"),
        ({"id": ""}, "$.id"),
        ({"instanceData": {}}, "$.instanceData.idInstance"),
        ({"arguments": "Hello"}, "$.arguments"),
        ({"chat": CHAT}, "$"),
    ],
)
async def test_a_request_that_is_none_is_invalid(
    router: RouterHarness, more: dict[str, Any], path: str
) -> None:
    receipt = await router.send(request(**more))
    assert receipt.status == "invalid"
    (line,) = [line for line in router.logs if line["event"] == "notification.invalid"]
    assert [problem["path"] for problem in line["problems"]] == [path]


async def test_a_route_for_another_type_is_told(router_harness: Any) -> None:
    router = await router_harness(ROUTES.replace("type: sendRequest", "type: incomingCall"))
    await router.send(make_event("incomingCall"))
    await router.settle()
    router.assert_dead("outbound", reason="a incomingCall is no sendRequest")


async def test_the_example_of_the_readme_is_sent() -> None:
    (routes,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (body,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    environ = {"GREEN_API_TOKEN": "a-token-of-green-api", "WEBHOOK_TOKEN": "a-token-of-ours"}
    async with RouterHarness(routes, environ=environ) as router:
        await router.send(orjson.loads(body))
        await router.settle()
        router.assert_replied("Your order 17 is paid.")

"""The simulator's webhook sender: one at a time, in order, the same one again until it is taken."""

from __future__ import annotations

import socket

import pytest

from router import samples
from router.greenapi.simulator import Simulator
from tests.greenapi.simulated import Webhook, calling, listening

#: A pause of a minute takes 6 ms.
FAST = 10_000.0


async def test_notifications_are_posted_in_order_as_they_are() -> None:
    body = samples.read("incomingCall/wa-pickup.json")
    async with listening(Webhook()) as webhook:
        simulator = Simulator(speed=FAST)
        shop = simulator.add(settings={"webhookUrl": webhook.url})
        receipts = [shop.push(body), shop.push(b"{half"), shop.push(b"{}")]
        async with simulator.serve():
            await shop.until(lambda shop: not shop.queued)
    assert [post.body for post in webhook.posts] == [body, b"{half", b"{}"]
    assert (shop.deleted, shop.posted) == (receipts, [200] * 3)
    assert webhook.posts[0].headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Authorization" not in webhook.posts[0].headers


@pytest.mark.parametrize(
    ("token", "header"), [("secret", "Bearer secret"), ("Basic c2VjcmV0", "Basic c2VjcmV0")]
)
async def test_the_token_is_sent(token: str, header: str) -> None:
    async with listening(Webhook()) as webhook:
        simulator = Simulator(speed=FAST)
        shop = simulator.add(settings={"webhookUrl": webhook.url, "webhookUrlToken": token})
        async with simulator.serve():
            shop.message("Hello")
            await shop.until(lambda shop: shop.deleted)
    assert webhook.posts[0].headers["Authorization"] == header


async def test_what_is_not_answered_200_is_posted_again_before_anything_else() -> None:
    async with listening(Webhook(201, 503, 302, headers={"Location": "/elsewhere"})) as webhook:
        simulator = Simulator(speed=FAST)
        shop = simulator.add(settings={"webhookUrl": webhook.url})
        async with simulator.serve():
            shop.message("one")
            shop.message("two")
            await shop.until(lambda shop: not shop.queued)
    assert [post.text for post in webhook.posts] == ["one", "one", "one", "one", "two"]
    assert shop.posted == [201, 503, 302, 200, 200]


async def test_one_that_fails_does_not_hold_up_another_instance() -> None:
    async with listening(Webhook()) as webhook:
        simulator = Simulator(speed=1)  # the pause is longer than this test
        down = simulator.add(settings={"webhookUrl": f"http://127.0.0.1:{nobody()}/"})
        up = simulator.add(settings={"webhookUrl": webhook.url})
        async with simulator.serve():
            down.message("one")
            await down.until(lambda shop: shop.posted)
            up.message("two")
            await up.until(lambda shop: shop.deleted)
    assert (down.posted, len(down.queued), up.posted) == ([0], 1, [200])


async def test_one_that_is_added_while_it_is_served_is_posted_too() -> None:
    async with listening(Webhook()) as webhook:
        simulator = Simulator(speed=FAST)
        async with simulator.serve():
            shop = simulator.add(settings={"webhookUrl": webhook.url})
            shop.message("Hello")
            await shop.until(lambda shop: shop.deleted)
    assert len(webhook.posts) == 1


async def test_a_webhook_that_is_set_gets_what_waits() -> None:
    async with listening(Webhook()) as webhook:
        simulator = Simulator(speed=FAST)
        shop = simulator.add(settings={"stateWebhook": "no"})
        shop.message("Hello")
        async with calling(simulator, shop) as call:
            await call("setSettings", webhookUrl=webhook.url)
            await shop.until(lambda shop: shop.deleted)
            assert [post.text for post in webhook.posts] == ["Hello"]
            await call("setSettings", webhookUrl="")
            await shop.until(lambda shop: shop.state == "authorized")
            shop.message("polled")
            assert (await call("receiveNotification")).json["receiptId"] == 2
            assert (await call("deleteNotification", "/2")).json["result"] is True
            shop.settings = shop.settings.changed({"webhookUrl": webhook.url})
            shop.message("posted again")
            await shop.until(lambda shop: not shop.queued)
    assert [post.text for post in webhook.posts] == ["Hello", "posted again"]
    assert shop.posted == [200, 200]


async def test_one_that_does_not_answer_is_asked_again() -> None:
    async with listening(Webhook(Webhook.NEVER)) as webhook:
        simulator = Simulator(speed=1000)  # three minutes would be a fifth of a second
        shop = simulator.add(settings={"webhookUrl": webhook.url})
        async with simulator.serve():
            shop.message("Hello")
            await shop.until(lambda shop: shop.deleted)
    assert shop.posted == [0, 200]


async def test_a_url_that_leads_nowhere_ends_nothing() -> None:
    simulator = Simulator(speed=FAST)
    shop = simulator.add(settings={"webhookUrl": "http://"})
    async with simulator.serve():
        shop.message("Hello")
        await shop.until(lambda shop: shop.posted == [0, 0])


def nobody() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

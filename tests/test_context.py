from __future__ import annotations

import asyncio

from router.context import Context, Delivery, current_delivery
from tests.conftest import Log
from tests.inbox.build import event

DELIVERY = Delivery(7, "0190-1", "orders", "autoreply", 2)


def test_a_handler_gets_its_delivery_and_the_options_of_its_route() -> None:
    context = Context(event(1), DELIVERY, {"reply": "Hello"})
    assert (context.delivery, context.options) == (DELIVERY, {"reply": "Hello"})


def test_lines_of_its_logger_name_the_delivery(log: Log) -> None:
    current_delivery.set(DELIVERY)
    Context(event(1), DELIVERY, {}).logger.info("order.taken", number=5)
    current_delivery.set(None)
    (record,) = log.records
    del record["timestamp"]
    assert record == {
        "level": "INFO",
        "event": "order.taken",
        "event_id": "0190-1",
        "route": "orders",
        "handler": "autoreply",
        "attempt": 2,
        "number": 5,
    }


async def test_deliveries_that_run_at_once_do_not_borrow_each_others_names(log: Log) -> None:
    both_are_in = asyncio.Barrier(2)

    async def handle(delivery: Delivery) -> None:
        current_delivery.set(delivery)
        await both_are_in.wait()
        Context(event(1), delivery, {}).logger.info("handled")

    await asyncio.gather(
        asyncio.create_task(handle(DELIVERY)),
        asyncio.create_task(handle(Delivery(8, "0190-2", "audit", "archive", 1))),
    )
    assert {(line["event_id"], line["route"]) for line in log.records} == {
        ("0190-1", "orders"),
        ("0190-2", "audit"),
    }

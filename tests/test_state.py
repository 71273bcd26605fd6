from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from router.context import Context, Delivery
from router.state import State
from tests.shop import Shop, message, open_shop, sample


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as shop:
        yield shop


@pytest.fixture
def state(shop: Shop) -> State:
    return shop.context().state


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "Привет", [1, [2]], {"step": {"n": 1}}, {}, []],
    ids=repr,
)
async def test_a_value_comes_back_as_it_was(value: Any, shop: Shop) -> None:
    await shop.context().state.set("cart", value)
    shop.restart()
    assert await shop.context(attempt=2).state.get("cart", "nothing") == value


async def test_what_is_not_there_is_the_default(state: State) -> None:
    assert (await state.get("cart"), await state.get("cart", [])) == (None, [])
    await state.set("cart", 1)
    await state.delete("cart")
    await state.delete("cart")
    assert await state.get("cart", "nothing") == "nothing"


async def test_a_value_is_of_a_plugin_an_instance_and_a_chat(shop: Shop) -> None:
    await shop.context().state.set("cart", 1)
    event = message()
    other_plugin = Context(event, Delivery(1, event.id, "r", "h", 1), {}, shop.of_plugin("other"))
    for context in (shop.context(message(chat="5@c.us")), other_plugin):
        assert await context.state.get("cart") is None
    same_chat = shop.context(message("other text", sender="9@c.us"), delivery=99)
    assert await same_chat.state.get("cart") == 1


async def test_an_event_without_a_chat_has_a_state_too(shop: Shop) -> None:
    event = sample("stateInstanceChanged/wa-authorized.json")
    await shop.context(event).state.set("since", 1)
    assert await shop.context(event).state.get("since") == 1
    assert await shop.context().state.get("since") is None


async def test_a_value_may_have_a_time_to_live(shop: Shop, state: State) -> None:
    await state.set("cart", 1, ttl=60)
    (item,) = shop.memory.items("state/crm/", 10)
    assert item.expires_at is not None
    assert 55 < (item.expires_at - datetime.now(UTC)).total_seconds() <= 60


class _Step(StrEnum):
    ASKED = "asked"


@dataclass
class _Cart:
    n: int = 1


def _deep() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({1}, r"set at \$"),
        ({"items": [1, {"at": datetime(2026, 11, 24, tzinfo=UTC)}]}, r"datetime at \$.items\[1\].at"),
        (_Cart(), r"_Cart at \$"),
        (_Step.ASKED, r"_Step at \$"),
        (UUID(int=1), r"UUID at \$"),
        (b"bytes", r"bytes at \$"),
        ({1: "one"}, r"the key 1 at \$"),
        ([float("nan")], r"nan at \$\[0\]"),
        (_deep(), "more than 250 levels of nesting"),
        (2**64, "64-bit"),
    ],
    ids=["set", "datetime", "dataclass", "enum", "UUID", "bytes", "key", "nan", "circle", "large"],
)
async def test_what_is_no_json_is_named(value: Any, found: str, state: State) -> None:
    with pytest.raises(TypeError, match=rf"state 'cart': expected JSON.*{found}"):
        await state.set("cart", value)


async def test_a_value_has_up_to_64_kib(state: State) -> None:
    await state.set("cart", "x" * (64 * 1024 - 2))
    with pytest.raises(ValueError, match="state 'cart': expected a value of up to 65536 bytes, found 65537"):
        await state.set("cart", "x" * (64 * 1024 - 1))


async def test_a_key_is_any_text_of_512_characters(state: State) -> None:
    for key in ["k" * 512, "ключ/🔑\n", "\0"]:
        await state.set(key, 1)
        assert await state.get(key) == 1


@pytest.mark.parametrize(
    ("key", "error", "found"),
    [
        ("", ValueError, "expected a key of 1 to 512 characters, found an empty one"),
        ("k" * 513, ValueError, "found one of 513: 'kkk"),
        ("a\ud800", ValueError, "half a surrogate pair"),
        (7, TypeError, "expected a key that is text, found int"),
    ],
    ids=["empty", "long", "surrogate", "number"],
)
async def test_other_keys_are_refused(key: Any, error: type[Exception], found: str, state: State) -> None:
    for use in (state.get(key), state.set(key, 1), state.delete(key)):
        with pytest.raises(error, match=found):
            await use


async def test_a_ttl_is_a_time(state: State) -> None:
    with pytest.raises(ValueError, match="ttl"):
        await state.set("cart", 1, ttl=0)

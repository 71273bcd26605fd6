"""Traffic: what people would do to an instance, made from samples, the same again for the same seed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from random import Random

import orjson

from router import samples
from router.events import JsonObject
from router.greenapi.simulator import notifications
from router.greenapi.simulator.account import Account
from router.greenapi.simulator.notifications import Chat

#: Of ten notifications so many are a text that came in.
_TEXTS = 8
_WORDS = [
    "Hello",
    "Is anybody there?",
    "/order 12",
    "Thank you!",
    "Здравствуйте",
    "שלום",
    "👍",
    "Where is my parcel?",
]
_NAMES = ["Ann", "Bo", "Chidi", "Dana", "Emre", "Fatima", "Gil", "Hanna"]
#: What the other samples are of; the rest would say of the instance what is not so.
_KINDS = ("incomingMessageReceived", "outgoingMessageReceived", "outgoingMessageStatus", "incomingCall")


def notifications_for(
    accounts: Sequence[Account], chats: int, seed: int
) -> Iterator[tuple[Account, JsonObject]]:
    """Yield notifications without end, each with the instance that it is of.

    Args:
        accounts: Instances, each as likely as the others.
        chats: How many each of them has.
        seed: Decides all but the time.
    """
    random = Random(f"traffic {seed}")
    while True:
        account = random.choice(accounts)
        chat = _chat(account.messenger, random.randrange(chats))
        yield account, _notification(account, chat, random)


async def run(
    accounts: Sequence[Account], *, rate: float, chats: int, seed: int, count: int | None = None
) -> None:
    """Let notifications happen.

    Args:
        accounts: To whom.
        rate: How many in one of our seconds, all instances together.
        chats: How many each instance has.
        seed: Decides all but the time.
        count: How many; without end by default.
    """
    began = time.monotonic()
    for number, (account, body) in enumerate(islice(notifications_for(accounts, chats, seed), count)):
        # Behind time there is nothing to wait for, but others have to get their turn.
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        account.happen(body)


def _notification(account: Account, chat: Chat, random: Random) -> JsonObject:
    id_message = notifications.new_id(account.messenger, random)
    if random.randrange(10) < _TEXTS:
        words = notifications.text(random.choice(_WORDS))
        return notifications.incoming(account.whose, id_message, chat, chat, words)
    return notifications.fresh(random.choice(_others(account.messenger)), account.whose, id_message, chat)


def _chat(messenger: str, number: int) -> Chat:
    id_chat = f"{79001234567 + number}@c.us" if messenger == "whatsapp" else str(10000000 + number)
    return Chat(id_chat, _NAMES[number % len(_NAMES)])


@cache
def _others(messenger: str) -> Sequence[bytes]:
    """Return the samples that are of this messenger."""
    bodies = [samples.read(name) for name in samples.names() if name.startswith(_KINDS)]
    return [body for body in bodies if _messenger(body) == messenger]


def _messenger(body: bytes) -> str:
    found: str = orjson.loads(body).get("instanceData", {}).get("typeInstance", "")
    return found

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from router.errors import SendInDoubt
from router.inbox.sqlite.inbox import SqliteInbox
from tests.cli.conftest import Command
from tests.greenapi.scripted import HANG_UP, Reply, Request
from tests.shop import CHAT, INSTANCE, open_shop, said, sent

KEYS = ["delivery", "key", "method", "instance", "chat", "at", "error"]


def lost_once(request: Request) -> Reply:
    return sent(request) if "again" in said(request) else HANG_UP


async def send(folder: Path, text: str, *keys: str) -> list[str]:
    """Send with each key, as a delivery of a router; return what came of it."""
    inbox = SqliteInbox(folder / "router.db", {})
    outcomes = []
    async with open_shop(lost_once) as shop:
        await inbox.open()
        shop.keep_in(inbox.store)
        for key in keys:
            try:
                arguments = {"chatId": CHAT, "message": text}
                outcomes.append(str(await shop.context().send_once(key, "sendMessage", **arguments)))
            except SendInDoubt:
                outcomes.append("in doubt")
        await inbox.close()
    return outcomes


@pytest.fixture
def doubts(folder: Path) -> Path:
    """An inbox with a router's doubts."""
    assert asyncio.run(send(folder, "lost", "b", "a")) == ["in doubt"] * 2
    return folder


@pytest.mark.usefixtures("doubts")
def test_doubts_are_listed(router: Command) -> None:
    ended = router("outbox", "list", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [list(row) for row in ended.json] == [KEYS, KEYS]
    assert [(row["delivery"], row["key"], row["instance"], row["chat"]) for row in ended.json] == [
        (7, "a", INSTANCE, CHAT),
        (7, "b", INSTANCE, CHAT),
    ]
    assert ended.json[0]["error"] == "the connection was closed before there was an answer"
    assert len(router("outbox", "list", "--json", "--limit", "1").json) == 1
    table = router("outbox", "list").out.splitlines()
    assert table[0].split() == KEYS
    assert "sendMessage" in table[1]


def test_what_arrived_is_not_sent_again(router: Command, doubts: Path) -> None:
    ended = router("outbox", "sent", "7", "a")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.split() == ["delivery", "key", "method", "chat", "7", "a", "sendMessage", CHAT]
    assert [row["key"] for row in router("outbox", "list", "--json").json] == ["b"]
    assert asyncio.run(send(doubts, "again", "a", "b")) == ["{}", "in doubt"]


def test_what_did_not_arrive_is_sent_by_the_next_attempt(router: Command, doubts: Path) -> None:
    assert router("outbox", "again", "7", "a").code == 0
    assert [row["key"] for row in router("outbox", "list", "--json").json] == ["b"]
    assert asyncio.run(send(doubts, "again", "a", "b")) == ["{'idMessage': 'id of again'}", "in doubt"]


@pytest.mark.usefixtures("doubts")
@pytest.mark.parametrize("verb", ["sent", "again"])
@pytest.mark.parametrize(("delivery", "key"), [("7", "c"), ("8", "a")])
def test_what_is_not_in_doubt_cannot_be_decided(verb: str, delivery: str, key: str, router: Command) -> None:
    ended = router("outbox", verb, delivery, key)
    assert (ended.code, ended.out) == (1, "")
    expected = f"nothing that delivery {delivery} sent with key '{key}' is in doubt: see 'router outbox list'"
    assert expected in ended.err


@pytest.mark.usefixtures("filled")
def test_an_empty_outbox_says_so(router: Command) -> None:
    assert router("outbox", "list").out == "nothing is in doubt\n"

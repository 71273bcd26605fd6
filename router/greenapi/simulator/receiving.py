"""Methods that receive: the queue over HTTP."""

from __future__ import annotations

import asyncio

from router.greenapi.simulator.account import Account
from router.greenapi.simulator.answers import Answer, json, refused
from router.greenapi.simulator.call import Call, Method

_NOTHING = Answer(body=b"null")
_DELETED = Answer(body=b'{"result":true,"reason":""}')
_NOT_DELETED = Answer(body=b'{"result":false,"reason":""}')
_POSTED_TO = (
    "Message cannot be received because custom webhook url is set. "
    "Please clear webhook url and wait for about 1 minute"
)
#: Seconds for which getWebhooksCount answers the same.
_COUNT_FOR = 10.0
#: Seconds between two times that clearWebhooksQueue clears.
_CLEAR_EVERY = 60.0


async def receive_notification(account: Account, call: Call) -> Answer:
    """Give out the oldest notification, once there is one."""
    seconds = call.seconds("receiveTimeout", 5, range(5, 61))
    _check_polled(account)
    entry = account.queue.head()
    if entry is None:
        try:
            async with asyncio.timeout(account.clock.ours(seconds)):
                entry = await account.queue.first()
        except TimeoutError:
            return _NOTHING
        _check_polled(account)
    entry.was_received = True
    account.tell(f"received {entry.receipt} by {call.caller}")
    return Answer(body=b'{"receiptId":%d,"body":%b}' % (entry.receipt, entry.body))


async def delete_notification(account: Account, call: Call) -> Answer:
    """Delete the oldest notification, if it was received and this is its receipt."""
    _check_polled(account)
    if not (call.last.isascii() and call.last.isdecimal() and len(call.last) < 20):
        raise refused("Parameter receiptId must be a Number")
    if not account.delete(int(call.last)):
        account.tell(f"not deleted {call.last}: not the one that was received")
        return _NOT_DELETED
    account.tell(f"deleted {call.last} by {call.caller}")
    return _DELETED


async def get_webhooks_count(account: Account, _: Call) -> Answer:
    """Count what waits; for ten seconds the answer stays the same."""
    now = account.clock.now()
    if account.counted is None or now - account.counted[1] >= _COUNT_FOR:
        account.counted = (len(account.queue), now)
    return json({"count": account.counted[0]})


async def clear_webhooks_queue(account: Account, _: Call) -> Answer:
    """Empty the queue, at most once a minute."""
    if account.is_posted_to.is_set():
        return json({"isCleared": False, "reason": "custom webhook url is set"})
    now = account.clock.now()
    if account.cleared_at is not None and now - account.cleared_at < _CLEAR_EVERY:
        left = round(_CLEAR_EVERY - (now - account.cleared_at))
        return json(
            {"isCleared": False, "reason": "the queue was cleared less than a minute ago", "leftTime": left}
        )
    account.cleared_at = now
    account.queue.clear()
    account.tell("queue cleared")
    account.changed()
    return json({"isCleared": True, "reason": ""})


def _check_polled(account: Account) -> None:
    if account.is_posted_to.is_set():
        raise refused(_POSTED_TO)


METHODS: dict[str, Method] = {
    "receiveNotification": receive_notification,
    "deleteNotification": delete_notification,
    "getWebhooksCount": get_webhooks_count,
    "clearWebhooksQueue": clear_webhooks_queue,
}

"""An asynchronous client of GREEN-API's HTTP API: one pool of connections for all instances.

Any method by its name, with GREEN-API's own names for arguments::

    async with GreenApi() as green_api:
        shop = green_api.instance(1101000001, "https://1101.api.greenapi.com", token)
        sent = await shop.call("sendMessage", chatId="79001234567@c.us", message="Hello")

The token is part of every URL. It is taken out of whatever is raised here, and URLs are not logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from router.errors import BadAnswer, NoAnswer
from router.events import JsonObject
from router.greenapi import methods
from router.greenapi.answers import Answer
from router.greenapi.exchange import Exchange, Upload, tracing
from router.greenapi.notifications import NoReceipt, Notification, read
from router.retry import RetryPolicy

#: Seconds that an answer to a long poll may be late.
_LATE = 10.0
#: How a request is repeated that may be.
_REPEATS = RetryPolicy(attempts=3, first=0.5, factor=4, max=10, jitter=0.5)


class GreenApi:
    """The connections. Enter it in the event loop that uses it.

    Args:
        repeats: How often, and after which waits, a request is repeated that may be.
    """

    def __init__(self, repeats: RetryPolicy = _REPEATS) -> None:
        self._repeats = repeats
        self._session: aiohttp.ClientSession | None = None
        self._instances: dict[tuple[int, str, str], InstanceApi] = {}

    async def __aenter__(self) -> Self:
        # Each instance that is polled holds a connection open; handlers are bounded elsewhere.
        connector = aiohttp.TCPConnector(limit=0)
        agent = {"User-Agent": f"green-event-router/{version_of('green-event-router')}"}
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=agent,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[tracing()],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered().close()

    def instance(self, id: int, api_url: str, token: str) -> InstanceApi:  # noqa: A002 - GREEN-API's word
        """Return the API of an instance; for the same arguments the same one, which keeps to the rates.

        Args:
            id: ``idInstance``.
            api_url: Its host, such as ``https://1101.api.greenapi.com``.
            token: ``apiTokenInstance``.
        """
        known = self._instances.get((id, api_url, token))
        if known is None:
            known = self._instances[id, api_url, token] = InstanceApi(id, self._exchange(id, api_url, token))
        return known

    def _exchange(self, id: int, api_url: str, token: str) -> Exchange:  # noqa: A002 - GREEN-API's word
        return Exchange(self._entered, id, api_url, token, self._repeats)

    def _entered(self) -> aiohttp.ClientSession:
        assert self._session is not None, "GreenApi is used inside its context"
        return self._session


class InstanceApi:
    """The methods of one instance. Made by `GreenApi.instance`.

    Every method raises a `router.errors.GreenApiError`. What reads or may be done twice is repeated
    when the answer is lost, 429, 499 or 5xx; a send only when GREEN-API surely did not get it, or said
    429. Requests of one method are spaced out to the rate that GREEN-API takes.
    """

    def __init__(self, id: int, exchange: Exchange) -> None:  # noqa: A002 - GREEN-API's word
        self.id = id
        self._exchange = exchange

    async def call(self, /, method: str, **arguments: Any) -> Any:
        """Call a method by GREEN-API's names for it and its arguments; return the JSON it answers.

        Arguments that are ``None`` are left out.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        return await self._exchange.value(methods.find(method), given)

    # Notifications

    async def receive_notification(self, receive_timeout: float) -> Notification | None:
        """Return the head of the queue, or ``None`` if none comes within 5 to 60 seconds. Not repeated."""
        how = methods.find("receiveNotification")
        arguments = {"receiveTimeout": round(receive_timeout)}
        answer = await self._exchange.ask(how, arguments, within=receive_timeout + _LATE)
        self._exchange.require_ok(how, answer)
        try:
            notification = read(answer.body)
        except NoReceipt:
            self._exchange.value_of(how, answer)  # raises what the answer says, if it says something
            raise BadAnswer(self.id, how.name, "expected a receiptId, found none", status=200) from None
        if notification and notification.is_broken and _may_be_cut(answer):
            raise NoAnswer(self.id, how.name, "the answer was cut off", was_sent=True)
        return notification

    async def delete_notification(self, receipt_id: int) -> bool:
        """Delete the head of the queue; false if that is not its receipt (any more). Not repeated."""
        how = methods.find("deleteNotification")
        answer = self._exchange.value_of(how, await self._exchange.ask(how, path=f"/{receipt_id}"))
        return isinstance(answer, dict) and answer.get("result") is True

    # The instance

    async def get_settings(self) -> JsonObject:
        """Return the settings by GREEN-API's names: flags are ``yes`` or ``no``."""
        return _object(await self.call("getSettings"))

    async def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Change some settings. The instance restarts; it may take 5 minutes until they apply."""
        answer = _object(await self.call("setSettings", **settings))
        if answer.get("saveSettings") is not True:
            raise BadAnswer(self.id, "setSettings", "expected saveSettings: true, found something else")

    async def get_state(self) -> str:
        """Return ``authorized``, ``notAuthorized``, ``blocked``, ``starting``, ``sleepMode`` and the like."""
        return str(_object(await self.call("getStateInstance")).get("stateInstance"))

    async def last_incoming_messages(self, minutes: int) -> list[JsonObject]:
        """Return the messages of the last minutes, newest first, in the flat shape of GREEN-API's journal."""
        answer = await self.call("lastIncomingMessages", minutes=minutes)
        return [record for record in answer if isinstance(record, dict)] if isinstance(answer, list) else []

    # Sending. Each returns the idMessage of what was put into GREEN-API's queue of messages to send.

    async def send_message(
        self, /, chat: str, message: str, *, quoted: str | None = None, **more: Any
    ) -> str:
        """Send a text; ``quoted`` is the idMessage it answers."""
        return await self._send("sendMessage", chatId=chat, message=message, quotedMessageId=quoted, **more)

    async def send_file_by_url(
        self, chat: str, url: str, file_name: str, *, caption: str | None = None, quoted: str | None = None
    ) -> str:
        """Send a file that GREEN-API fetches from a URL."""
        return await self._send(
            "sendFileByUrl",
            chatId=chat,
            urlFile=url,
            fileName=file_name,
            caption=caption,
            quotedMessageId=quoted,
        )

    async def send_file_by_upload(
        self, chat: str, file: Path, *, caption: str | None = None, quoted: str | None = None
    ) -> str:
        """Send a file of this machine; `OSError` if it cannot be read."""
        fields = {"chatId": chat, "fileName": file.name, "caption": caption, "quotedMessageId": quoted}
        given = {name: value for name, value in fields.items() if value is not None}
        method = methods.find("sendFileByUpload")
        return self._id_message(method.name, await self._exchange.value(method, Upload(given, file)))

    async def send_location(
        self,
        chat: str,
        latitude: float,
        longitude: float,
        *,
        name: str | None = None,
        address: str | None = None,
    ) -> str:
        """Send a place, in degrees."""
        return await self._send(
            "sendLocation",
            chatId=chat,
            latitude=latitude,
            longitude=longitude,
            nameLocation=name,
            address=address,
        )

    async def send_contact(self, chat: str, contact: Mapping[str, Any]) -> str:
        """Send a contact: ``phoneContact`` (a number), ``firstName``, ``lastName`` and the like."""
        return await self._send("sendContact", chatId=chat, contact=contact)

    async def send_poll(
        self, chat: str, message: str, options: Sequence[str], *, multiple: bool = False
    ) -> str:
        """Send a poll."""
        listed = [{"optionName": option} for option in options]
        return await self._send(
            "sendPoll", chatId=chat, message=message, options=listed, multipleAnswers=multiple
        )

    async def send_interactive_buttons(
        self,
        chat: str,
        body: str,
        buttons: Sequence[Mapping[str, Any]],
        *,
        header: str | None = None,
        footer: str | None = None,
    ) -> str:
        """Send up to three buttons: each a ``type``, ``buttonId``, ``buttonText`` and what its type needs."""
        return await self._send(
            "sendInteractiveButtons",
            chatId=chat,
            body=body,
            buttons=list(buttons),
            header=header,
            footer=footer,
        )

    async def forward_messages(self, chat: str, source: str, messages: Sequence[str]) -> list[str]:
        """Forward messages from one chat to another; return the idMessages of the new ones."""
        answer = await self.call("forwardMessages", chatId=chat, chatIdFrom=source, messages=list(messages))
        return [str(id_message) for id_message in _object(answer).get("messages", [])]

    async def read_chat(self, chat: str, message: str | None = None) -> None:
        """Mark a chat as read, or only one message of it."""
        await self.call("readChat", chatId=chat, idMessage=message)

    async def download_file(self, chat: str, message: str) -> str:
        """Return the URL from which a message's file can be fetched."""
        answer = _object(await self.call("downloadFile", chatId=chat, idMessage=message))
        return str(answer.get("downloadUrl", ""))

    async def _send(self, method: str, **arguments: Any) -> str:
        return self._id_message(method, await self.call(method, **arguments))

    def _id_message(self, method: str, answer: object) -> str:
        id_message = _object(answer).get("idMessage")
        if not isinstance(id_message, str):
            raise BadAnswer(self.id, method, "expected an idMessage, found none", status=200)
        return id_message


def _may_be_cut(answer: Answer) -> bool:
    return not answer.tells_its_end and not answer.body.rstrip().endswith(b"}")


def _object(answer: object) -> JsonObject:
    return answer if isinstance(answer, dict) else {}

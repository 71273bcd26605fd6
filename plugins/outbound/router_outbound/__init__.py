"""Sends what other systems ask for: they post a ``sendRequest`` to the router's webhook, and it is sent once.

The router does with it what it does with any notification: stores it before it answers, keeps the order
of each chat, tries again what failed, keeps what it gave up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from router import Context, Event, GiveUp, GreenApiError, RegisterHandler, RegisterSchema, hookimpl

#: The ``typeWebhook`` of a request.
TYPE = "sendRequest"

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": TYPE,
    "description": "A request of another system to send something.",
    "type": "object",
    "required": ["typeWebhook", "instanceData", "id", "chatId"],
    "properties": {
        "typeWebhook": {"const": TYPE},
        "instanceData": {
            "type": "object",
            "required": ["idInstance"],
            "properties": {"idInstance": {"type": "integer"}},
        },
        "id": {"type": "string", "minLength": 1, "maxLength": 200},
        "chatId": {"type": "string", "minLength": 1},
        "method": {"type": "string", "minLength": 1},
        "arguments": {"type": "object"},
    },
    "additionalProperties": False,
}

#: What GREEN-API answers to a request that will be wrong however often it is made.
_WRONG = 400

SENDING = (
    "sendMessage",
    "sendFileByUrl",
    "sendLocation",
    "sendContact",
    "sendPoll",
    "sendInteractiveButtons",
    "sendInteractiveButtonsReply",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be asked for."""

    methods: Annotated[
        tuple[str, ...], Meta(description="Methods of GREEN-API that may be asked for.", min_length=1)
    ] = SENDING


@hookimpl
def register_schemas(register: RegisterSchema) -> None:
    """Let the router know ``sendRequest``."""
    register(TYPE, SCHEMA)


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer ``outbound``."""
    register("outbound", outbound, options=Options)


async def outbound(event: Event, context: Context, options: Options) -> None:
    """Call the method that a request names, once.

    Raises:
        GiveUp: The method may not be asked for, or GREEN-API says that the request is wrong.
        GreenApiError: It could not be sent now; the route's ``retry`` decides.
    """
    if event.type != TYPE:
        raise GiveUp(f"a {event.type} is no {TYPE}: mend the route's type")
    request = event.data
    method = request.get("method", "sendMessage")
    if method not in options.methods:
        raise GiveUp(f"method {method!r} may not be asked for: allowed are {', '.join(options.methods)}")
    arguments = {**request.get("arguments", {}), "chatId": request["chatId"]}
    try:
        answer = await context.send_once("send", method, **arguments)
    except GreenApiError as exc:
        if exc.status == _WRONG:
            raise GiveUp(str(exc)) from exc
        raise
    context.logger.info(
        "outbound.sent", request=request["id"], method=method, id_message=answer.get("idMessage")
    )

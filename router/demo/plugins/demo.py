"""The plugin of ``router demo``."""

from router import Context, Event, RegisterHandler, RetryLater, hookimpl

OPTIONS = {
    "type": "object",
    "required": ["words"],
    "properties": {"words": {"type": "string"}},
    "additionalProperties": False,
}


async def greet(event: Event, context: Context) -> None:
    """Greet whoever writes; now and then only at the second attempt."""
    if context.delivery.attempt == 1 and event.id.endswith(("0", "8")):
        raise RetryLater("nobody was in the shop", after=1)
    context.logger.info("demo.greeted", words=context.options["words"], to=event.sender_name, text=event.text)


def note(event: Event, context: Context) -> None:
    """Note what came."""
    context.logger.info("demo.noted", type=event.type, message_type=event.message_type, chat=event.chat)


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    register("greet", greet, options=OPTIONS)
    register("note", note)

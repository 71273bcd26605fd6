"""The handler: from an event to a reply."""

from __future__ import annotations

from router import Context, Event, now
from router_autoreply.answers import Answer, Answers
from router_autoreply.memory import Memory
from router_autoreply.menus import Path
from router_autoreply.options import Options
from router_autoreply.said import hear


class Autoreply:
    """Answers what people write, by the options of its route."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._answers = Answers(options)

    async def __call__(self, event: Event, context: Context) -> None:
        """Answer a message of a person, once; everything else is passed over.

        Raises:
            GreenApiError: The reply could not be sent; the delivery is tried again.
        """
        said = hear(event, groups=self._options.groups)
        if said is None:
            return
        memory = Memory(context, said.person, self._options.dialog.timeout)
        path = await memory.path() if self._options.menus else ()
        answer = self._answers.to(said, now(), path)
        if answer is not None and await _is_to_be_given(answer, memory, context):
            await self._give(answer, path, memory, context)

    async def _give(self, answer: Answer, path: Path, memory: Memory, context: Context) -> None:
        """Reply first, remember then: what is not remembered is said again, and the outbox sends it once."""
        if await context.reply(answer.text, quote=answer.quote) is None:
            return  # withheld, so nobody is in a dialog
        if answer.path or path:
            await memory.move(path, answer.path)
        if answer.cooldown:
            await memory.cool(answer.source, answer.cooldown)
        context.logger.info("autoreply.replied", source=answer.source)


async def _is_to_be_given(answer: Answer, memory: Memory, context: Context) -> bool:
    if not answer.text:
        context.logger.warning("autoreply.empty", source=answer.source)
        return False
    if answer.cooldown and await memory.is_cooling(answer.source):
        context.logger.debug("autoreply.cooling", source=answer.source)
        return False
    return True

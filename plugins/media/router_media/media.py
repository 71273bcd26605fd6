"""The handler: one file for each message that has one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

from router import Context, Event, GiveUp, GreenApiError, RetryLater
from router_media.attachments import Attachment, attachment_of
from router_media.download import Downloaded, Downloader
from router_media.errors import Gone, NotWanted
from router_media.names import Place, extension_of, file_name, place_of
from router_media.options import Options
from router_media.parts import part_of
from router_media.records import record_of
from router_media.shelves import Folder, Shelf
from router_media.types import suffix_of


class Media:
    """Stores the files of the messages of one route."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._downloader = Downloader(options)
        self._shelf = shelf_of(options)

    async def start(self) -> None:
        """Open the pools of connections."""
        await self._downloader.start()

    async def stop(self) -> None:
        """Close all connections."""
        await self._downloader.stop()

    async def __call__(self, event: Event, context: Context) -> None:
        """Store the file attached to a message, unless it is there; return at once if there is none.

        Raises:
            RetryLater: It could not be fetched or stored now.
            GiveUp: It cannot be had, or the options refuse it.
            OSError: The folder cannot be written.
        """
        attachment = attachment_of(event)
        if attachment is None:
            context.logger.debug("media.no_file")
            return
        try:
            async with asyncio.timeout(self._options.timeout):
                await self._store(event, attachment, context)
        except TimeoutError:
            raise RetryLater(f"not stored within the option timeout, {self._options.timeout:g} s") from None
        except NotWanted as exc:
            if self._options.refused == "dead":
                raise GiveUp(str(exc)) from None
            context.logger.warning("media.refused", reason=str(exc))

    async def _store(self, event: Event, attachment: Attachment, context: Context) -> None:
        where = place_of(event, self._options.path)
        if known := await self._shelf.find(where):
            context.logger.info("media.known", file=known)
            return
        if extension := extension_of(file_name(attachment.file_name or "")):
            self._require_extension(extension)  # no need to fetch it
        with part_of(self._shelf.spool, where.key) as file:
            downloaded = await self._fetch(event, attachment, context, file)
            path = await self._keep(event, attachment, where, downloaded, file)
        context.logger.info("media.stored", file=path, size=downloaded.size, type=downloaded.type)

    async def _fetch(
        self, event: Event, attachment: Attachment, context: Context, file: BinaryIO
    ) -> Downloaded:
        """Write the file, by a new URL if the message has none or it has expired."""
        if attachment.is_too_large:
            raise NotWanted("GREEN-API did not take it: it has more than 100 MB")
        reason = "the message has no URL"
        if attachment.url:
            try:
                return await self._downloader.fetch(attachment.url, file)
            except Gone as exc:
                reason = str(exc)
        try:
            return await self._downloader.fetch(await _new_url(event, context, reason), file)
        except Gone as exc:
            raise RetryLater(f"{exc}, by a new URL as well") from None

    async def _keep(
        self, event: Event, attachment: Attachment, where: Place, downloaded: Downloaded, file: BinaryIO
    ) -> str:
        """Store the file; its record first, so that no file is without one."""
        kind = (event.message_type or "file").removesuffix("Message")
        name = file_name(attachment.file_name or kind, suffix_of(downloaded.type))
        self._require_extension(extension_of(name))
        if self._options.record:
            full_name = where.of_file(name).rpartition("/")[2]
            await self._shelf.keep_record(record_of(event, attachment, full_name, downloaded), where)
        return await self._shelf.keep(file, where, name, downloaded.type)

    def _require_extension(self, extension: str) -> None:
        if not self._options.wants_extension(extension):
            raise NotWanted(f"its extension {extension!r} is refused by the options")


def shelf_of(options: Options) -> Shelf:
    """Return where the files of a route are stored."""
    if options.s3 is not None:
        from router_media.bucket import Bucket  # noqa: PLC0415 - obstore is not always there

        return Bucket(options.s3)
    return Folder(Path(options.folder or ""))


async def _new_url(event: Event, context: Context, reason: str) -> str:
    if not event.chat or not event.id_message:
        raise GiveUp(f"{reason}, and GREEN-API cannot be asked for one: it has no chat or no idMessage")
    try:
        url = await context.api.download_file(event.chat, event.id_message)
    except GreenApiError as exc:
        raise RetryLater(f"{reason}, and GREEN-API gives no other: {exc}") from None
    if not url:
        raise RetryLater(f"{reason}, and GREEN-API gives no other")
    return url

"""Where files are stored: a folder, or what else has these methods."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol

from anyio import to_thread

from router_media.names import Place, is_stored
from router_media.parts import part_of, place


class Shelf(Protocol):
    """A store of files."""

    #: Where files are while they are downloaded.
    spool: Path

    async def find(self, where: Place) -> str | None:
        """Return the path of the file of a message, if it is there.

        Raises:
            RetryLater: The store cannot be read now.
        """

    async def keep(self, file: BinaryIO, where: Place, name: str, type_: str) -> str:
        """Store what was written to ``file``, and return its path; it is durable then.

        Raises:
            RetryLater: The store takes it not now.
        """

    async def keep_record(self, content: bytes, where: Place) -> None:
        """Store the JSON beside a file."""


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.spool = root

    async def find(self, where: Place) -> str | None:
        """See `Shelf.find`."""
        return await to_thread.run_sync(self._find, where)

    async def keep(self, file: BinaryIO, where: Place, name: str, type_: str) -> str:
        """See `Shelf.keep`."""
        path = where.of_file(name)
        await to_thread.run_sync(place, file, self.spool / path)
        return path

    async def keep_record(self, content: bytes, where: Place) -> None:
        """See `Shelf.keep_record`."""
        await to_thread.run_sync(self._keep_record, content, where)

    def _find(self, where: Place) -> str | None:
        folder = self.spool / where.folder
        prefix = f"{where.key}-"
        found = [path for path in folder.glob(f"{prefix}*") if is_stored(path.name) and path.is_file()]
        return found[0].relative_to(self.spool).as_posix() if found else None

    def _keep_record(self, content: bytes, where: Place) -> None:
        with part_of(self.spool, where.key) as file:
            file.write(content)
            place(file, self.spool / where.of_record)

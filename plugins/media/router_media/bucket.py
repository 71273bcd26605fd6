"""A bucket of an S3-compatible store.

By obstore: it is asynchronous, sends large files in parts, and is a tenth of botocore's size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from anyio import to_thread
from obstore.exceptions import BaseError
from obstore.store import S3Store

from router import RetryLater
from router_media.names import Place
from router_media.options import S3
from router_media.parts import flush

if TYPE_CHECKING:
    from obstore.store import S3Config

#: Bytes of one part of a large file, and parts that are sent at once.
_PART = 8 * 1024 * 1024
_AT_ONCE = 4
_TOLD = 200


class Bucket:
    """A bucket."""

    def __init__(self, options: S3) -> None:
        self.spool = Path(tempfile.gettempdir())
        self._prefix = "".join(f"{part}/" for part in options.prefix.split("/") if part)
        self._name = options.bucket
        self._store = S3Store(
            options.bucket,
            config=_config(options),
            client_options={"allow_http": True, "connect_timeout": "10s", "timeout": "60s"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
        )

    async def find(self, where: Place) -> str | None:
        """See `Shelf.find`."""
        with self._told_plainly():
            return await self._find(self._prefix + where.prefix)

    async def keep(self, file: BinaryIO, where: Place, name: str, type_: str) -> str:
        """See `Shelf.keep`."""
        path = self._prefix + where.of_file(name)
        await to_thread.run_sync(flush, file)
        await self._put(path, Path(file.name), type_)
        return path

    async def keep_record(self, content: bytes, where: Place) -> None:
        """See `Shelf.keep_record`."""
        await self._put(self._prefix + where.of_record, content, "application/json")

    async def _find(self, prefix: str) -> str | None:
        """Look for a path that begins so; the store itself only lists what is in a folder."""
        folder, _, _ = prefix.rpartition("/")
        async for batch in obstore.list(self._store, folder or None, offset=prefix, chunk_size=1):
            for found in batch:
                return found["path"] if found["path"].startswith(prefix) else None
        return None

    async def _put(self, path: str, content: bytes | Path, type_: str) -> None:
        with self._told_plainly():
            await obstore.put_async(
                self._store,
                path,
                content,
                attributes={"Content-Type": type_, "Content-Disposition": "attachment"},
                chunk_size=_PART,
                max_concurrency=_AT_ONCE,
            )

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except BaseError as exc:
            reason = " ".join(str(exc).split("\n\nDebug source", maxsplit=1)[0].split())[:_TOLD]
            raise RetryLater(f"bucket {self._name}: {reason}") from None


def _config(options: S3) -> S3Config:
    config: S3Config = {
        "region": options.region,
        "virtual_hosted_style_request": options.virtual_host,
    }
    if options.endpoint is not None:
        config["endpoint"] = _endpoint(options.endpoint, options)
    if options.access_key is not None and options.secret_key is not None:
        config["access_key_id"] = options.access_key
        config["secret_access_key"] = options.secret_key
    return config


def _endpoint(endpoint: str, options: S3) -> str:
    """Return the URL of the store, with the bucket in it where it is part of the name."""
    scheme, _, rest = endpoint.partition("://")
    return f"{scheme}://{options.bucket}.{rest}" if options.virtual_host else endpoint

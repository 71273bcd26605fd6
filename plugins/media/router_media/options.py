"""The options of a route with `handler: media`, and what is checked of them at the start."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from ipaddress import ip_network
from typing import Annotated, Literal

from msgspec import Meta

from router import AddressGuard, Duration, Size
from router_media.names import check_template

_TYPE = re.compile(r"[a-z0-9*][a-z0-9.+*-]*/[a-z0-9*][a-z0-9.+*-]*")
_EXTENSION = re.compile(r"\.?[^\W_]{1,20}")
_HOST = re.compile(r"(\*\.)?[^\s/:*?\[\]]+")
_ENDPOINT = re.compile(r"https?://[^\s/]+(/[^\s?#]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """A bucket of an S3-compatible store."""

    bucket: Annotated[str, Meta(description="Name of the bucket; it has to be there.", min_length=1)]
    endpoint: Annotated[
        str | None, Meta(description="URL of the store; Amazon's of the region when left out.")
    ] = None
    region: Annotated[str, Meta(description="Region.")] = "us-east-1"
    access_key: Annotated[
        str | None, Meta(description="Access key id; by the environment (AWS_…) when left out.")
    ] = None
    secret_key: Annotated[str | None, Meta(description="Secret access key.")] = field(
        default=None, repr=False
    )
    prefix: Annotated[str, Meta(description="Before each path: photos, or a/b.")] = ""
    virtual_host: Annotated[
        bool, Meta(description="Whether the bucket is part of the host's name instead of the path.")
    ] = False

    def __post_init__(self) -> None:
        """Check what a schema cannot say."""
        if find_spec("obstore") is None:
            raise ValueError("s3 needs more: install green-event-router-media[s3]")
        if self.endpoint is not None and not _ENDPOINT.fullmatch(self.endpoint):
            raise ValueError("endpoint: expected http:// or https:// and a host")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("expected access_key and secret_key, or neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which files are stored, where, and what is spent on each."""

    folder: Annotated[
        str | None,
        Meta(description="Folder for the files, made if missing; relative to the working directory."),
    ] = None
    s3: Annotated[S3 | None, Meta(description="A bucket, in place of a folder.")] = None
    path: Annotated[
        str,
        Meta(
            description="Folders below, with fields: date, year, month, day, instance, chat, sender, "
            "messenger, kind."
        ),
    ] = "{date}/{chat}"
    max_size: Annotated[Size, Meta(description="Larger files are refused.")] = Size("100MiB")
    allow_types: Annotated[
        list[str],
        Meta(description="Types, by content, such as image/* or application/pdf; all when left out."),
    ] = field(default_factory=list)
    deny_types: Annotated[list[str], Meta(description="Types that are refused.")] = field(
        default_factory=list
    )
    allow_extensions: Annotated[
        list[str], Meta(description="Extensions of names, such as pdf; all when left out.")
    ] = field(default_factory=list)
    deny_extensions: Annotated[list[str], Meta(description="Extensions that are refused.")] = field(
        default_factory=list
    )
    refused: Annotated[
        Literal["dead", "skip"],
        Meta(description="What becomes of a message whose file is refused: a dead letter, or nothing."),
    ] = "dead"
    timeout: Annotated[Duration, Meta(description="How long a file may take, until it is stored.")] = (
        Duration("4m")
    )
    stall: Annotated[Duration, Meta(description="How long nothing may come.")] = Duration("30s")
    min_free: Annotated[Size, Meta(description="Space that stays free on the disk.")] = Size("100MiB")
    record: Annotated[
        bool, Meta(description="Whether a JSON file beside each file says from which message it is.")
    ] = True
    keep: Annotated[
        Duration | None, Meta(description="How long files are kept, such as 30d; for ever when left out.")
    ] = None
    hosts: Annotated[
        list[str],
        Meta(description="Hosts that files are fetched from, such as *.example.com; all when left out."),
    ] = field(default_factory=list)
    allow: Annotated[
        list[str],
        Meta(
            description="Networks, such as 10.1.0.0/16, that files are fetched from though they are not "
            "public, and without TLS."
        ),
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check what a schema cannot say."""
        if (self.folder is None) == (self.s3 is None):
            raise ValueError("expected either folder or s3")
        if self.folder == "":
            raise ValueError("folder: expected a path")
        if self.s3 is not None and self.keep is not None:
            raise ValueError("keep: not with s3: set a lifecycle rule of the bucket")
        with _named("path"):
            check_template(self.path)
        for name in ("timeout", "stall", "max_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected more than 0")
        if self.keep is not None and self.keep <= 0:
            raise ValueError("keep: expected more than 0s")
        for name in ("allow_types", "deny_types"):
            _check(name, _TYPE, getattr(self, name), "a type such as image/jpeg or image/*")
        for name in ("allow_extensions", "deny_extensions"):
            _check(name, _EXTENSION, getattr(self, name), "an extension such as pdf")
        _check("hosts", _HOST, self.hosts, "a host such as files.example.com or *.example.com")
        with _named("allow"):
            _ = self.guard

    @property
    def guard(self) -> AddressGuard:
        """What tells which addresses may be connected to."""
        return AddressGuard(tuple(map(ip_network, self.allow)))

    def wants_type(self, type_: str) -> bool:
        """Return whether files of that type are stored."""
        return _passes(type_, self.allow_types, self.deny_types)

    def wants_extension(self, extension: str) -> bool:
        """Return whether files of that extension, without its dot, are stored."""
        allow, deny = (
            [each.removeprefix(".").lower() for each in listed]
            for listed in (self.allow_extensions, self.deny_extensions)
        )
        return extension not in deny and (not allow or extension in allow)

    def wants_host(self, host: str) -> bool:
        """Return whether files are fetched from that host."""
        return _passes(host.lower().rstrip("."), [each.lower() for each in self.hosts], ())


def _passes(value: str, allow: Iterable[str], deny: Iterable[str]) -> bool:
    allow = list(allow)
    if any(fnmatchcase(value, pattern) for pattern in deny):
        return False
    return not allow or any(fnmatchcase(value, pattern) for pattern in allow)


def _check(name: str, pattern: re.Pattern[str], values: Iterable[str], expected: str) -> None:
    for value in values:
        if not pattern.fullmatch(value):
            raise ValueError(f"{name}: {value!r} is not {expected}")


@contextmanager
def _named(option: str) -> Iterator[None]:
    """Name the option in what is said of its value."""
    try:
        yield
    except ValueError as exc:
        raise ValueError(f"{option}: {exc}") from exc

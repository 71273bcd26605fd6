"""Names of files and folders, made of what others wrote. Pure.

A file's name begins with a key, made of instance, chat and ``idMessage``. So the same message has the same
file, no two messages have the same, and no name is hidden, reserved or that of a folder.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from router import Event

#: Bytes of UTF-8, of the 255 that file systems allow.
_NAME, _SUFFIX, _FOLDER = 150, 20, 100
#: Characters of a name that are looked at: its end has the extension.
_LONGEST = 1000
#: Not in names of Windows, or with a meaning in shells and URLs.
_ODD = re.compile(r'[/\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
#: They join letters and emoji, and so belong to a name.
_JOINERS = "\u200c\u200d"
_FIELD = re.compile(r"\{(\w*)\}")
_KEY = "[0-9a-f]{16}"
_STORED = re.compile(rf"{_KEY}-.+", re.DOTALL)
_OWN = re.compile(rf"{_KEY}(-.+|\.json)", re.DOTALL)

#: What a template may name.
FIELDS = ("date", "year", "month", "day", "instance", "chat", "sender", "messenger", "kind")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the file of a message belongs."""

    #: Below the root; names with ``/`` between them, or empty.
    folder: str
    key: str

    def of_file(self, name: str) -> str:
        """Return the path of the file, below the root."""
        return self._path(f"{self.key}-{name}")

    @property
    def of_record(self) -> str:
        """The path of the JSON file beside it."""
        return self._path(f"{self.key}.json")

    @property
    def prefix(self) -> str:
        """With what the path of the file begins, whatever its name is."""
        return self._path(f"{self.key}-")

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name


def place_of(event: Event, template: str) -> Place:
    """Return where the file of a message belongs."""
    values = _values(event)
    folder = "/".join(
        safe(_FIELD.sub(lambda found: values[found[1]], part), _FOLDER)
        for part in template.split("/")
        if part
    )
    identity = f"{event.instance}/{event.chat}/{event.id_message or event.id}"
    return Place(folder, hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16])


def check_template(template: str) -> None:
    """Check a template of a path.

    Raises:
        ValueError: It has a field that there is not, or leads out of the folder.
    """
    for name in _FIELD.findall(template):
        if name not in FIELDS:
            raise ValueError(f"no field {{{name}}}: fields are {', '.join(FIELDS)}")
    parts = _FIELD.sub("x", template).split("/")
    if template.startswith("/") or any(part in {".", ".."} for part in parts) or "\\" in template:
        raise ValueError("expected folders below the folder, such as {date}/{chat}")
    if "{" in "".join(parts) or "}" in "".join(parts):
        raise ValueError("expected each { to have its } and a field between them")


def is_stored(name: str) -> bool:
    """Return whether a file of that name holds what was attached to a message."""
    return _STORED.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Return whether a file of that name was made by this plugin: a stored one, or a record of one."""
    return _OWN.fullmatch(name) is not None


def safe(text: str, most: int = _NAME) -> str:
    """Return a name that is one everywhere: without folders, control characters, and of bounded length.

    Letters of any script are kept.
    """
    text = unicodedata.normalize("NFC", text)
    text = "".join(char for char in text if char in _JOINERS or not _is_control(char))
    text = _ODD.sub("_", text).strip(" .\u3000\u00a0")
    text = _cut(text, most) or "unknown"
    return f"_{text}" if _RESERVED.fullmatch(text) else text


def _is_control(char: str) -> bool:
    """Return whether a character steers something, breaks a line or is none."""
    category = unicodedata.category(char)
    return category[0] == "C" or category in {"Zl", "Zp"}


def file_name(original: str, suffix: str = "") -> str:
    """Return the name of a file: safe, bounded, and with ``suffix`` if it has no extension of its own."""
    name = safe(original[-_LONGEST:], most=4 * _LONGEST)
    stem, dot, end = name.rpartition(".")
    if not dot or not extension_of(name):
        return _cut(name, _NAME) + suffix
    return f"{_cut(stem, _NAME)}.{end}"


def extension_of(name: str) -> str:
    """Return the extension in lower case, without its dot; empty if there is none."""
    stem, _, end = name.rpartition(".")
    return end.lower() if stem and end.isalnum() and len(end.encode()) <= _SUFFIX else ""


def _values(event: Event) -> Mapping[str, str]:
    at = _moment(event)
    values = {
        "date": f"{at:%Y-%m-%d}",
        "year": f"{at:%Y}",
        "month": f"{at:%m}",
        "day": f"{at:%d}",
        "instance": event.instance,
        "chat": event.chat,
        "sender": event.sender,
        "messenger": event.messenger,
        "kind": event.message_type,
    }
    return {name: str(value) if value else "unknown" for name, value in values.items()}


def _moment(event: Event) -> datetime:
    """Return when the message was sent, which is the same if it is notified again."""
    try:
        return datetime.fromtimestamp(event.timestamp or 0, UTC) if event.timestamp else event.received_at
    except (ValueError, OverflowError, OSError):
        return event.received_at


def _cut(text: str, most: int) -> str:
    """Return the beginning of a text that has at most that many bytes of UTF-8."""
    return text.encode()[:most].decode("utf-8", "ignore").rstrip(" .")

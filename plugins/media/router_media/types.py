"""What a file is, by its first bytes. Pure.

A table of what messengers carry. The libraries for this know hundreds of types more, but not these well
enough: puremagic 1 calls an MP3 ``.koz`` and has no type for MPEG-4 audio; filetype is of 2022.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

#: Bytes that have to be known, if the file has as many.
HEAD = 64 * 1024
UNKNOWN = "application/octet-stream"

#: Offset, bytes → type. The first that fits.
_MAGIC: list[tuple[int, bytes, str]] = [
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (257, b"ustar", "application/x-tar"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\xca\xfe\xba\xbe", "application/x-mach-binary"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"dex\n", "application/x-dex"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
]
#: Major brand of an ISO base media file → type; others are video/mp4.
_BRANDS: Mapping[bytes, str] = {
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
}
#: What is in a ZIP file of that type, near its beginning.
_IN_ZIP: list[tuple[bytes, str]] = [
    (b"mimetypeapplication/epub+zip", "application/epub+zip"),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
    (
        b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    (b"AndroidManifest.xml", "application/vnd.android.package-archive"),
    (b"META-INF/MANIFEST.MF", "application/java-archive"),
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
]
#: With what a text begins, in lower case, behind declarations and comments of XML → type.
_TEXTS: list[tuple[re.Pattern[bytes], str]] = [
    (re.compile(rb"#!"), "text/x-script"),
    (re.compile(rb"<(!doctype )?svg[\s>]"), "image/svg+xml"),
    (re.compile(rb"<(!doctype html|html|head|body|script|iframe)[\s>]"), "text/html"),
    (re.compile(rb"begin:vcard"), "text/vcard"),
]
_XML = b"<?xml"
#: Not in a text.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

#: Type → the extension of a file that has none.
_SUFFIXES: Mapping[str, str] = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/heic": ".heic",
    "video/mp4": ".mp4",
    "video/3gpp": ".3gp",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/aac": ".aac",
    "audio/amr": ".amr",
    "audio/wav": ".wav",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "text/vcard": ".vcf",
    "text/plain": ".txt",
}


def type_of(head: bytes) -> str:
    """Return the media type of a file.

    Args:
        head: Its first `HEAD` bytes, or all if it has fewer.
    """
    for offset, magic, found in _MAGIC:
        if head[offset : offset + len(magic)] == magic and (offset != 8 or head[:4] == b"RIFF"):
            return found
    return _container(head) or _frames(head) or _text(head) or UNKNOWN


def suffix_of(type_: str) -> str:
    """Return the extension, with its dot, of a type; empty if there is none."""
    return _SUFFIXES.get(type_, "")


def _container(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "video/3gpp" if brand.startswith((b"3gp", b"3g2")) else _BRANDS.get(brand, "video/mp4")
    if head[:4] == b"OggS":
        return "video/ogg" if b"\x80theora" in head[:4096] else "audio/ogg"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head[:128] else "video/x-matroska"
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return next((found for mark, found in _IN_ZIP if mark in head), "application/zip")
    return None


def _frames(head: bytes) -> str | None:
    """Tell MPEG audio without tags, and AAC, by the header of the first frame."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    layer, version = head[1] >> 1 & 3, head[1] >> 3 & 3
    if layer == 0:
        return "audio/aac" if head[1] & 0xF6 == 0xF0 else None
    return "audio/mpeg" if version != 1 and head[2] >> 4 != 15 else None


def _text(head: bytes) -> str | None:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    if _BINARY.search(head):
        return None
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    content = _without_comments(begin)
    found = next((found for pattern, found in _TEXTS if pattern.match(content)), None)
    return found or ("application/xml" if begin.startswith(_XML) else "text/plain")


def _without_comments(text: bytes) -> bytes:
    """Return a text without declaration and comments before its first element."""
    for begin, end in ((_XML, b"?>"), (b"<!--", b"-->")):
        while text.startswith(begin):
            text = text.partition(end)[2].lstrip()
    return text

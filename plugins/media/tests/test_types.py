from __future__ import annotations

import io
import zipfile

import pytest
from router_media.types import UNKNOWN, suffix_of, type_of


def zipped(*names: str, first: bytes = b"") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        if first:
            file.writestr("mimetype", first)
        for name in names:
            file.writestr(name, "<x/>")
    return content.getvalue()


def box(brand: bytes) -> bytes:
    return b"\0\0\0\x20ftyp" + brand + b"\0\0\2\0isomiso2avc1mp41" + b"\0" * 40


OFFICE = "application/vnd.openxmlformats-officedocument"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"\xff\xd8\xff\xe1<?php", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"xxxx\x24\0\0\0WEBP\0", UNKNOWN),
        (box(b"isom"), "video/mp4"),
        (box(b"M4A "), "audio/mp4"),
        (box(b"3gp5"), "video/3gpp"),
        (box(b"qt  "), "video/quicktime"),
        (box(b"heic"), "image/heic"),
        (b"OggS\0\2" + b"\0" * 20 + b"\1\x13OpusHead", "audio/ogg"),
        (b"OggS\0\2" + b"\0" * 20 + b"\1\x2a\x80theora", "video/ogg"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1B\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1B\x82\x88matroska", "video/x-matroska"),
        (b"ID3\3\0", "audio/mpeg"),
        (b"\xff\xfb\x90\0" + b"\0" * 40, "audio/mpeg"),
        (b"\xff\xf1\x50\x80" + b"\0" * 40, "audio/aac"),
        (b"#!AMR\n\x3c", "audio/amr"),
        (b"%PDF-1.7\n", "application/pdf"),
        (zipped("a.txt"), "application/zip"),
        (zipped("[Content_Types].xml", "word/document.xml"), f"{OFFICE}.wordprocessingml.document"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), f"{OFFICE}.spreadsheetml.sheet"),
        (zipped("[Content_Types].xml", "ppt/presentation.xml"), f"{OFFICE}.presentationml.presentation"),
        (zipped(first=b"application/epub+zip"), "application/epub+zip"),
        (zipped("AndroidManifest.xml"), "application/vnd.android.package-archive"),
        (b"Rar!\x1a\7\0", "application/vnd.rar"),
        (b"\x1f\x8b\x08", "application/gzip"),
        (b"MZ\x90\0", "application/vnd.microsoft.portable-executable"),
        (b"\x7fELF\2\1\1", "application/x-elf"),
        (b"#!/bin/sh\nrm -rf /\n", "text/x-script"),
        (b"<!DOCTYPE html><script>", "text/html"),
        (b"\xef\xbb\xbf  \n<HTML>", "text/html"),
        (b"<!-- a --><!-- b -->\n<script>", "text/html"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "image/svg+xml"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg >', "image/svg+xml"),
        (b'<?xml version="1.0"?><a/>', "application/xml"),
        (b"BEGIN:VCARD\r\n", "text/vcard"),
        ("Привет\n\tмир".encode(), "text/plain"),
        ("я".encode() * 10 + b"\xd1", "text/plain"),
        (b"", "text/plain"),
        (b"a\0b", UNKNOWN),
        (b"\xfe\xff\0a", UNKNOWN),
        (bytes(range(256)), UNKNOWN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_type_is_known_by_the_first_bytes(head: bytes, expected: str) -> None:
    assert type_of(head) == expected


@pytest.mark.parametrize("head", [b"<!-- " * 12_000, b"<!----> " * 8_000, b"<?xml" * 13_000, b"\n" * 65_536])
def test_no_content_takes_long(head: bytes) -> None:
    assert type_of(head) in {"text/plain", "application/xml"}


def test_an_extension_for_each_type_that_needs_one() -> None:
    assert (suffix_of("image/jpeg"), suffix_of("audio/ogg"), suffix_of(UNKNOWN)) == (".jpg", ".ogg", "")

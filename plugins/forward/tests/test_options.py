from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from router_forward import Options, new_secret

MakeOptions = Callable[..., Options]

#: The same in every run, since it is in the names of tests.
SECRET = "whsec_" + "c2VjcmV0" * 5


def test_a_url_is_enough(make_options: MakeOptions) -> None:
    made = make_options()

    assert (made.url, made.format, made.timeout, made.keys) == ("https://shop.example/hook", "json", 15.0, [])


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://shop.example:8080/a?b=c#d"},
        {"url": "HTTPS://пример.рф/"},
        {"url": "https://8.8.8.8/"},
        {"url": "https://[2606:4700::1]/"},
        {"url": "http://10.1.2.3/", "allow": ["10.1.0.0/16"]},
        {"url": "http://[fd00::1]/", "allow": ["fd00::/64"]},
        {"url": "http://127.0.0.1:5000/", "allow_private": True},
        {"url": "http://localhost/"},
        {"format": "cloudevents-binary"},
        {"headers": {"Authorization": "Bearer abc", "X-Empty": ""}},
        {"secret": SECRET},
        {"secret": [SECRET, SECRET]},
        {"timeout": "1m"},
    ],
    ids=str,
)
def test_options_that_are_right(make_options: MakeOptions, options: dict[str, Any]) -> None:
    make_options(**options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": ""}, "url: expected http:// or https:// and a host"),
        ({"url": "shop.example/hook"}, "url: expected http:// or https:// and a host"),
        ({"url": "ftp://shop.example"}, "url: expected http:// or https:// and a host"),
        ({"url": "file:///etc/passwd"}, "url: expected http:// or https:// and a host"),
        ({"url": "unix:///run/x.sock"}, "url: expected http:// or https:// and a host"),
        ({"url": "https://"}, "url: "),
        ({"url": "https://a:99999/"}, "url: "),
        ({"url": "https://[::1/"}, "url: "),
        ({"url": "https://anna:pw@shop.example"}, "url: name and password do not belong here"),
        (
            {"url": "http://127.0.0.1/"},
            "url: 127.0.0.1 is not public (loopback), and the option allow does not",
        ),
        (
            {"url": "http://169.254.169.254/latest", "allow_private": True},
            "url: 169.254.169.254 is not public",
        ),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "url: 10.0.0.1 is not public (private)"),
        ({"url": "http://[fe80::1]/"}, "url: fe80::1 is not public (link-local)"),
        ({"url": "http://2130706433/"}, "url: 2130706433 is not public (no IP address)"),
        ({"url": "http://127.1/"}, "url: 127.1 is not public (no IP address)"),
        ({"url": "http://0x7f.1/"}, "url: 0x7f.1 is not public (no IP address)"),
        ({"url": "http://0x7f000001/"}, "url: 0x7f000001 is not public (no IP address)"),
        ({"url": "http://017700000001/"}, "url: 017700000001 is not public (no IP address)"),
        ({"url": "http://[zz::1]/"}, "url: zz::1 is not public (no IP address)"),
        ({"allow": ["10.0.0.1/8"]}, "allow: 10.0.0.1/8 has host bits set"),
        ({"allow": ["shop.example"]}, "allow: 'shop.example' does not appear to be an IPv4 or IPv6 network"),
        ({"headers": {"X Y": "1"}}, "headers: 'X Y' is no name of a header"),
        ({"headers": {"X": "a\r\nEvil: 1"}}, "headers: the value of X has characters that are not printable"),
        ({"headers": {"X": "é"}}, "headers: the value of X has characters that are not printable"),
        ({"headers": {"Webhook-Id": "1"}}, "headers: Webhook-Id follows from the request and cannot be set"),
        ({"headers": {"ce-type": "1"}}, "headers: ce-type follows from the request"),
        ({"headers": {"Content-Type": "text/plain"}}, "headers: Content-Type follows from the request"),
        ({"headers": {"host": "other"}}, "headers: host follows from the request"),
        ({"secret": "hunter2"}, "secret: expected whsec_ and 24 to 64 bytes in base64"),
        ({"secret": [SECRET, ""]}, "secret: expected whsec_"),
        ({"timeout": "0s"}, "timeout: expected more than 0s"),
        ({"ca_file": "none.pem"}, "ca_file: [Errno 2] No such file or directory"),
        ({"format": "xml"}, "Invalid enum value 'xml'"),
    ],
    ids=str,
)
def test_options_that_are_wrong(make_options: MakeOptions, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError) as raised:
        make_options(**options)

    assert problem in str(raised.value)


def test_a_file_that_holds_no_certificates_is_told(make_options: MakeOptions, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")

    with pytest.raises(ValueError, match="ca_file: "):
        make_options(ca_file=str(tmp_path / "ca.pem"))


def test_no_secret_is_in_the_repr(make_options: MakeOptions) -> None:
    secret = new_secret()
    made = make_options(
        url="https://shop.example/hook?token=abc123",
        secret=secret,
        headers={"Authorization": "Bearer xyz789"},
    )

    assert not any(hidden in repr(made) for hidden in ("abc123", secret, "xyz789"))

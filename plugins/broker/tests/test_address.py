from __future__ import annotations

import pytest
from router_broker.address import Address, Kind, parse


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "text"),
    [
        ("nats://one:4222", Kind.NATS, ("one:4222",), "nats://one:4222"),
        ("tls://one", Kind.NATS, ("one:4222",), "tls://one:4222"),
        ("nats://u:p@one,two:4223", Kind.NATS, ("one:4222", "two:4223"), "nats://one:4222,two:4223"),
        ("amqp://u:p@one/vhost", Kind.RABBITMQ, ("one:5672",), "amqp://one:5672"),
        ("amqps://one?heartbeat=10", Kind.RABBITMQ, ("one:5671",), "amqps://one:5671"),
        ("redis://:p@127.0.0.1:6380/2", Kind.REDIS, ("127.0.0.1:6380",), "redis://127.0.0.1:6380"),
        ("rediss://[::1]", Kind.REDIS, ("[::1]:6379",), "rediss://[::1]:6379"),
        ("kafka://one:9092,two:9092", Kind.KAFKA, ("one:9092", "two:9092"), "kafka://one:9092,two:9092"),
        ("kafka+ssl://one", Kind.KAFKA, ("one:9093",), "kafka+ssl://one:9093"),
    ],
)
def test_an_address_is_read(url: str, kind: Kind, hosts: tuple[str, ...], text: str) -> None:
    address = parse(url)

    assert (address.kind, address.hosts, str(address)) == (kind, hosts, text)


def test_credentials_are_unquoted_and_never_shown() -> None:
    address: Address = parse("amqp://ro%40uter:s3cr%2Fet@one")

    assert (address.user, address.password) == ("ro@uter", "s3cr/et")
    assert str(address) == "amqp://one:5672"
    assert ("s3cr" in repr(address), "uter" in repr(address)) == (False, False)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://u:s3cret@one", "found http://"),
        ("one:s3cret", "found something else"),
        ("s3cret!://one", "found something else"),
        ("kafka://u:s3cret/x@one:9092", "is a character of the password"),
        ("amqp://u:s3cret#x@one", "is a character of the password"),
        ("redis://u:s3cret?x@one", "is a character of the password"),
        ("redis://u:s3cret@", "expected HOST:PORT"),
        ("redis://u:s3cret@one:port", "expected HOST:PORT"),
        ("redis://u:s3cret@one:99999", "expected HOST:PORT"),
        ("nats://u:s3cret@one:4222,", "expected HOST:PORT"),
        ("redis://u:s3cret@one,two", "one host for redis, found 2"),
        ("nats://[s3cret", "expected SCHEME://"),
    ],
)
def test_what_is_wrong_with_an_address_is_told_without_its_secrets(url: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(url)

    assert problem in str(caught.value)
    assert "s3cret" not in str(caught.value)

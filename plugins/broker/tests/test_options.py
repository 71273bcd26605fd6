from __future__ import annotations

from typing import Any

import pytest
from router_broker import Options

from router import Duration


def options(url: str = "nats://localhost", **others: Any) -> Options:
    return Options(**{"url": url, "destination": "green.events", **others})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": "nats://localhost", "max_length": 5}, "max_length is for redis, and url is that of nats"),
        ({"url": "kafka://localhost", "replicas": 1}, "replicas is for redis, and url is that of kafka"),
        ({"url": "redis://localhost", "sasl": "PLAIN"}, "sasl is for kafka, and url is that of redis"),
        ({"url": "http://localhost"}, "found http://"),
        ({"timeout": Duration("0s")}, "timeout: expected more than 0s"),
        ({"destination": "green..events"}, "expected words with dots between"),
        ({"destination": "green.*"}, "without wildcards"),
        ({"ca_file": "ca.pem"}, "ca_file is for an encrypted connection"),
        ({"url": "tls://localhost", "key_file": "key.pem"}, "expected cert_file as well"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_options_that_do_not_fit_together_are_told(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        options(**given)


def test_the_url_is_not_shown() -> None:
    assert "s3cret" not in repr(options("nats://router:s3cret@localhost"))


def test_a_connection_that_is_not_encrypted_has_no_certificates() -> None:
    assert options("amqp://localhost").tls() is None
    assert options("amqps://localhost").tls() is not None

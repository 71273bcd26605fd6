from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
from router_forward.signature import key_of, new_secret, webhook_headers, webhook_id
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

BODY = '{"text":"Привет"}'.encode()


def test_a_signature_is_accepted_by_the_library_of_the_specification() -> None:
    secret = new_secret()

    headers = webhook_headers("e1_orders", time.time(), BODY, [key_of(secret)])

    assert Webhook(secret).verify(BODY, headers) == {"text": "Привет"}


def test_it_is_the_one_that_the_library_makes() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    headers = webhook_headers("msg_1", 1614265330.9, BODY, [key_of(secret)])

    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1614265330",
        "webhook-signature": Webhook(secret).sign(
            "msg_1", datetime.fromtimestamp(1614265330, UTC), BODY.decode()
        ),
    }


def test_while_secrets_are_rotated_both_are_accepted_and_no_third() -> None:
    new, old = new_secret(), new_secret()

    headers = webhook_headers("e1_orders", time.time(), BODY, [key_of(new), key_of(old)])

    assert Webhook(new).verify(BODY, headers) == Webhook(old).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp"])
def test_id_and_time_are_signed(changed: str) -> None:
    secret = new_secret()
    headers = webhook_headers("1", time.time(), BODY, [key_of(secret)])
    headers[changed] = str(int(headers[changed]) + 1)

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers)


def test_without_a_secret_there_is_an_id_all_the_same() -> None:
    assert webhook_headers("e1_orders", 5.0, BODY, []) == {
        "webhook-id": "e1_orders",
        "webhook-timestamp": "5",
    }


@pytest.mark.parametrize(
    ("route", "id_"),
    [
        ("orders", "e1_orders"),
        ("to the shop", "e1_to%20the%20shop"),
        ("v1.2", "e1_v1%2E2"),
        ("заказы\n", "e1_%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7%D1%8B%0A"),
        ("a/b%", "e1_a%2Fb%25"),
    ],
)
def test_an_id_fits_into_a_header_and_has_no_full_stop(route: str, id_: str) -> None:
    assert webhook_id("e1", route) == id_


def test_a_new_secret_is_another_one() -> None:
    one, other = new_secret(), new_secret()

    assert (one != other, len(key_of(one)), one[:6]) == (True, 32, "whsec_")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "hunter2",
        base64.b64encode(bytes(32)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(bytes(32)).decode()[:-1],
        "whsec_" + base64.b64encode(bytes(32)).decode() + "\n",
        "whsec_ключ",
    ],
)
def test_what_is_no_secret_is_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^expected whsec_ and 24 to 64 bytes") as raised:
        key_of(secret)

    assert secret in {"", "whsec_"} or secret not in str(raised.value)

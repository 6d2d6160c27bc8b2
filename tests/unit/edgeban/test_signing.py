"""A source's headers pass edgeban's own check and that of the Standard Webhooks package."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from chalicelib.reports import signature
from edgeban import signing

SECRETS = {
    "standard-webhooks": "whsec_" + "c2VjcmV0" * 5,
    "hub-sha256": "hub-secret-of-16-or-more",
    "bearer": "bearer-token-of-16-or-more",
}
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@given(scheme=st.sampled_from(signing.SCHEMES), body=st.binary(max_size=200))
def test_what_the_sdk_signs_edgeban_accepts(scheme: str, body: bytes) -> None:
    headers = signing.headers(scheme, SECRETS[scheme], body, message_id="id-1", now=NOW)
    accepted = signature.authenticate(
        signature.Scheme(scheme), secrets=[SECRETS[scheme]], headers=headers, body=body, now=NOW
    )
    assert accepted == "id-1"


@given(scheme=st.sampled_from(signing.SCHEMES), asked=st.text("abcdef0123456789-", min_size=1, max_size=40))
def test_a_question_is_signed_as_edgeban_checks_it(scheme: str, asked: str) -> None:
    headers = signing.question_headers(scheme, SECRETS[scheme], asked, message_id="id-1", now=NOW)
    signature.authenticate_question(
        signature.Scheme(scheme), secrets=[SECRETS[scheme]], headers=headers, asked=asked, now=NOW
    )


@given(body=st.text(max_size=100))
def test_a_signature_is_that_of_the_standards_own_package(body: str) -> None:
    secret = SECRETS["standard-webhooks"]
    theirs = Webhook(secret).sign("id-1", NOW, body)
    assert signing.webhook_signature(secret, "id-1", str(int(NOW.timestamp())), body.encode()) == theirs


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "ünïcode"])
def test_a_secret_of_a_wrong_form_is_refused_before_anything_is_sent(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        signing.headers("standard-webhooks", secret, b"", message_id="i", now=NOW)


SECRET = SECRETS["standard-webhooks"]
BODY = b'{"urls": []}'


def signed(body: bytes = BODY, at: datetime = NOW) -> dict[str, str]:
    return signing.headers("standard-webhooks", SECRET, body, message_id="id-1", now=at)


@pytest.mark.parametrize(
    ("headers", "body", "complaint"),
    [
        (signed(), BODY, ""),
        ({name.replace("webhook", "svix"): value for name, value in signed().items()}, BODY, ""),
        ({name.upper(): value for name, value in signed().items()}, BODY, ""),
        ({"webhook-id": "id-1"}, BODY, "header: webhook-timestamp, webhook-signature is missing"),
        ({**signed(), "webhook-timestamp": "noon"}, BODY, "header: webhook-timestamp must be whole Unix seconds"),
        ({**signed(), "webhook-signature": "sha256=00"}, BODY, "header: the signature must begin with v1,"),
        (signed(at=NOW - timedelta(minutes=10)), BODY, "clock: webhook-timestamp is 600 s old; at most 300 s pass"),
        (signed(at=NOW + timedelta(minutes=10)), BODY, "clock: webhook-timestamp is 600 s ahead; at most 300 s pass"),
        (signed(), BODY + b"\n", "body: it has white space at its begin or end that was not signed"),
        (signed(b"other"), BODY, "body or secret: the signature is not that of this id, time and body"),
        (signing.headers("hub-sha256", SECRET, BODY, message_id="i", now=NOW), BODY, ""),
        (signing.headers("hub-sha256", "another", BODY, message_id="i", now=NOW), BODY, "body or secret: X-Hub"),
    ],
)
def test_the_command_says_what_is_wrong_with_a_request(headers: dict[str, str], body: bytes, complaint: str) -> None:
    told = signing.complaint(SECRET, headers, body, now=NOW)
    assert told.startswith(complaint)
    assert bool(told) == bool(complaint)

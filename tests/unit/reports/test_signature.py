"""Each scheme accepts the signatures of its standard and no others."""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import BadSignature, ConfigurationError
from chalicelib.reports.signature import (
    MAX_SIGNATURES,
    Scheme,
    authenticate,
    check_secrets,
    sign,
    verify,
    verify_bearer,
    verify_hub,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + b64encode(bytes(range(1, 33))).decode()
OTHER_SECRET = "whsec_" + b64encode(bytes(range(2, 34))).decode()
BODY = b'{"urls":["https://example.com/"]}'


def signed(
    body: bytes = BODY, *, secret: str = SECRET, webhook_id: str = "msg_1", at: datetime = NOW
) -> dict[str, str]:
    return {
        "Webhook-Id": webhook_id,
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": sign(secret, webhook_id, at, body),
    }


def check(headers: dict[str, str], body: bytes = BODY, *secrets: str) -> str:
    return verify(secrets=secrets or (SECRET,), headers=headers, body=body, now=NOW)


def test_a_signed_body_is_accepted_and_its_id_returned() -> None:
    assert check(signed()) == "msg_1"


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=24, max_size=64), st.text("abc_-.09", min_size=1, max_size=20), st.text(max_size=40))
def test_signatures_equal_those_of_the_package_standardwebhooks(key: bytes, webhook_id: str, body: str) -> None:
    body = body.encode("utf-8", "ignore").decode()
    secret = "whsec_" + b64encode(key).decode()
    theirs = standardwebhooks.Webhook(secret).sign(webhook_id, NOW, body)
    assert sign(secret, webhook_id, NOW, body.encode()) == theirs
    assert sign(secret, webhook_id, int(NOW.timestamp()), body.encode()) == theirs
    headers = {"webhook-id": webhook_id, "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": theirs}
    if webhook_id.strip() == webhook_id:
        assert check(headers, body.encode(), secret) == webhook_id


def test_the_package_standardwebhooks_accepts_what_is_signed_here() -> None:
    now = datetime.now(UTC)
    headers = {name.lower(): value for name, value in signed(at=now).items()}
    assert standardwebhooks.Webhook(SECRET).verify(BODY, headers) == {"urls": ["https://example.com/"]}


SVIX = {"webhook-id": "svix-id", "webhook-timestamp": "svix-timestamp", "webhook-signature": "svix-signature"}


def test_what_the_package_svix_signs_is_accepted_under_its_own_names_of_the_headers() -> None:
    headers = {"svix-id": "msg_1", "svix-timestamp": str(int(NOW.timestamp()))}
    headers["svix-signature"] = svix.webhooks.Webhook(SECRET).sign("msg_1", NOW, BODY.decode())
    assert check(headers) == "msg_1"
    with pytest.raises(BadSignature, match="no signature in svix-signature matches"):
        check(headers, BODY + b" ")
    with pytest.raises(BadSignature, match="svix-timestamp is 600 s old"):
        verify(secrets=[SECRET], headers=headers, body=BODY, now=NOW + timedelta(minutes=10))


def test_headers_of_both_names_are_never_combined() -> None:
    names = {name.lower(): value for name, value in signed().items()}
    for taken in names:
        mixed = {(SVIX[name] if name == taken else name): value for name, value in names.items()}
        with pytest.raises(BadSignature, match="send the headers webhook-id"):
            check(mixed)
    right = {SVIX[name]: value for name, value in names.items()}
    with pytest.raises(BadSignature):
        check({**right, "webhook-signature": "v1,AAAA"})


def test_the_published_vector_of_standard_webhooks_verifies() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(1614265330, UTC)
    assert verify(secrets=[secret], headers=headers, body=b'{"test": 2432232314}', now=at) == headers["webhook-id"]


def test_a_body_that_is_not_utf_8_is_verified_as_bytes() -> None:
    assert check(signed(b"\xff\xfe"), b"\xff\xfe") == "msg_1"


def test_any_of_several_signatures_may_match_any_of_several_secrets() -> None:
    headers = signed(secret=OLD_SECRET)
    headers["Webhook-Signature"] = f"v1a,xyz {sign(OTHER_SECRET, 'msg_1', NOW, BODY)} {headers['Webhook-Signature']}"
    assert check(headers, BODY, SECRET, OLD_SECRET) == "msg_1"
    with pytest.raises(BadSignature):
        check(headers, BODY, SECRET)


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_five_minutes_in_either_direction_are_accepted(seconds: int) -> None:
    assert check(signed(at=NOW + timedelta(seconds=seconds)))


@pytest.mark.parametrize(("seconds", "problem"), [(-301, "old"), (301, "ahead")])
def test_a_timestamp_too_old_or_from_the_future_is_refused(seconds: int, problem: str) -> None:
    with pytest.raises(BadSignature, match=problem):
        check(signed(at=NOW + timedelta(seconds=seconds)))


@pytest.mark.parametrize("header", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_every_header_is_needed(header: str) -> None:
    headers = signed()
    del headers[header]
    with pytest.raises(BadSignature, match="send the headers"):
        check(headers)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Webhook-Id", "msg_2"),
        ("Webhook-Id", ""),
        ("Webhook-Id", "a" * 257),
        ("Webhook-Id", "a\n"),
        ("Webhook-Id", "ä"),
        ("Webhook-Timestamp", str(int(NOW.timestamp()) + 1)),
        ("Webhook-Timestamp", f" {int(NOW.timestamp())}"),
        ("Webhook-Timestamp", f"{int(NOW.timestamp())}.0"),
        ("Webhook-Timestamp", "nan"),
        ("Webhook-Timestamp", "١٢٣"),
        ("Webhook-Timestamp", "9" * 400),
        ("Webhook-Signature", ""),
        ("Webhook-Signature", "v1"),
        ("Webhook-Signature", "v1,"),
        ("Webhook-Signature", "v1,ä\ud800"),
        ("Webhook-Signature", "v2," + sign(SECRET, "msg_1", NOW, BODY)[3:]),
        ("Webhook-Signature", " ".join(["v1,x"] * MAX_SIGNATURES + [sign(SECRET, "msg_1", NOW, BODY)])),
    ],
)
def test_a_changed_or_malformed_header_is_refused_as_a_bad_signature(header: str, value: str) -> None:
    with pytest.raises(BadSignature):
        check(signed() | {header: value})


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(BadSignature):
        check(signed(), BODY + b" ")


def test_a_header_sent_twice_with_two_values_is_refused() -> None:
    with pytest.raises(BadSignature, match="twice"):
        check(signed() | {"webhook-id": "msg_2"})
    assert check(signed() | {"webhook-id": "msg_1"}) == "msg_1"


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()), st.binary()
)
def test_arbitrary_headers_raise_nothing_but_a_bad_signature(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadSignature):
        check(headers, body)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!!", "whsec_" + b64encode(bytes(23)).decode(), "whsec_ä"])
def test_a_secret_of_a_wrong_form_is_a_configuration_error_and_is_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        check(signed(), BODY, secret)
    assert secret not in str(error.value) or secret in ("", "whsec_")


def test_a_source_without_a_secret_accepts_nothing() -> None:
    for scheme in Scheme:
        with pytest.raises(ConfigurationError, match="no secret"):
            check_secrets(scheme, [])
        with pytest.raises(ConfigurationError, match="no secret"):
            authenticate(scheme, secrets=[], headers=signed(), body=BODY, now=NOW)


def test_no_message_holds_the_expected_signature() -> None:
    expected = sign(SECRET, "msg_1", NOW, BODY)[3:]
    with pytest.raises(BadSignature) as error:
        check(signed() | {"Webhook-Signature": "v1,AAAA"})
    assert expected not in str(error.value)
    assert "AAAA" not in str(error.value)


HUB_SECRET = "a-hub-secret-of-some-length"


def hub(body: bytes, secret: str = HUB_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


def test_a_hub_signature_is_checked_over_the_raw_body() -> None:
    headers = {"X-Hub-Signature-256": hub(BODY), "webhook-id": "delivery-1"}
    assert verify_hub([HUB_SECRET], headers, BODY) == "delivery-1"
    assert verify_hub(["another-secret-of-length", HUB_SECRET], headers, BODY) == "delivery-1"
    with pytest.raises(BadSignature):
        verify_hub([HUB_SECRET], headers, BODY + b" ")
    with pytest.raises(BadSignature):
        verify_hub(["another-secret-of-length"], headers, BODY)


@pytest.mark.parametrize("value", [None, "", "sha256=", "sha256=zz", "sha1=" + "0" * 40, "sha256=" + "0" * 65, "ä"])
def test_a_malformed_hub_signature_is_refused(value: str | None) -> None:
    with pytest.raises(BadSignature, match="send the header X-Hub-Signature-256"):
        verify_hub([HUB_SECRET], {} if value is None else {"x-hub-signature-256": value}, BODY)


def test_without_a_webhook_id_the_body_itself_is_the_idempotency_id() -> None:
    expected = "sha256:" + sha256(BODY).hexdigest()
    assert verify_hub([HUB_SECRET], {"x-hub-signature-256": hub(BODY)}, BODY) == expected
    assert verify_bearer([HUB_SECRET], {"authorization": f"Bearer {HUB_SECRET}"}, BODY) == expected
    with pytest.raises(BadSignature, match="webhook-id"):
        verify_bearer([HUB_SECRET], {"authorization": f"Bearer {HUB_SECRET}", "webhook-id": "ä"}, BODY)


def test_a_bearer_token_is_checked_against_tokens_and_hashes() -> None:
    hashed = "sha256:" + sha256(HUB_SECRET.encode()).hexdigest()
    headers = {"Authorization": f"bearer {HUB_SECRET}", "Webhook-Id": "r-1"}
    assert verify_bearer([hashed], headers, BODY) == "r-1"
    assert verify_bearer(["another-secret-of-length", HUB_SECRET], headers, BODY) == "r-1"
    with pytest.raises(BadSignature):
        verify_bearer([hashed], {"Authorization": f"Bearer {hashed}"}, BODY)


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer  ", "Basic abc", "Bearer wrong", "Bearer \ud800"])
def test_a_wrong_or_missing_token_is_refused(value: str | None) -> None:
    with pytest.raises(BadSignature):
        verify_bearer([HUB_SECRET], {} if value is None else {"authorization": value}, BODY)


def test_short_secrets_are_refused_for_hub_and_bearer() -> None:
    for scheme in (Scheme.HUB, Scheme.BEARER):
        with pytest.raises(ConfigurationError, match="at least 16"):
            check_secrets(scheme, ["short"])


def test_a_source_accepts_no_other_scheme_than_its_own() -> None:
    headers = {"x-hub-signature-256": hub(BODY), "authorization": f"Bearer {HUB_SECRET}", **signed()}
    assert authenticate(Scheme.STANDARD_WEBHOOKS, secrets=[SECRET], headers=headers, body=BODY, now=NOW) == "msg_1"
    assert authenticate(Scheme.HUB, secrets=[HUB_SECRET], headers=headers, body=BODY, now=NOW) == "msg_1"
    assert authenticate(Scheme.BEARER, secrets=[HUB_SECRET], headers=headers, body=BODY, now=NOW) == "msg_1"
    with pytest.raises(BadSignature):
        authenticate(Scheme.HUB, secrets=[HUB_SECRET], headers=signed(), body=BODY, now=NOW)

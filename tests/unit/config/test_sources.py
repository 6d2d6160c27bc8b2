"""The sources document is read whole, or refused by the path of its field with the remedy."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from chalicelib.config.sources import parse
from chalicelib.domain.errors import ConfigurationError
from chalicelib.reports import PARSERS
from chalicelib.reports.signature import Scheme

WEBHOOK_SECRET = "whsec_" + "c2VjcmV0" * 5
TOKEN = "a-token-of-16-or-more"
QUEUE = {"auth": "none"}
HUB = {"auth": "hub-sha256", "secrets": ["hub-secret-of-16-or-more"]}
BEARER = {"auth": "bearer", "secrets": [TOKEN]}
CALLBACK = {"callback_url": "https://hooks.example.org/x", "callback_secret": WEBHOOK_SECRET}


def test_a_source_that_says_little_has_the_defaults() -> None:
    source = parse({"queue": QUEUE})["queue"]
    assert (source.name, source.auth, source.secrets, source.format) == ("queue", None, (), "")
    assert (source.category, source.ban_days, source.reports_per_minute, source.hosts) == ("", None, 6_000, None)


def test_a_source_is_read_whole() -> None:
    document = {
        "auth": "standard-webhooks",
        "secrets": [WEBHOOK_SECRET, "whsec_" + "b3RoZXIh" * 5],
        "format": "xarf",
        "defanged": True,
        "html_escaped": True,
        "category": "phishing",
        "ban_days": 30,
        "reports_per_minute": 600,
        "hosts": ["*.example.com"],
        **CALLBACK,
    }
    source = parse({"desk": document})["desk"]
    assert source.auth is Scheme.STANDARD_WEBHOOKS
    assert len(source.secrets) == 2
    assert (source.format, source.defanged, source.html_escaped) == ("xarf", True, True)
    assert (source.category, source.ban_days, source.reports_per_minute) == ("phishing", 30, 600)
    assert source.hosts
    assert source.hosts.covers("www.example.com")
    assert (source.callback_url, source.callback_secret) == (CALLBACK["callback_url"], WEBHOOK_SECRET)
    assert "c2VjcmV0" not in repr(source)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, 'auth is missing or null: write "bearer" or "hub-sha256" or "none" or "standard-webhooks"'),
        ({"auth": None}, "auth is missing or null: write"),
        ({**QUEUE, "secrets": [TOKEN]}, 'secrets is of no use beside "auth": "none": leave it out'),
        ({"auth": "bearer"}, "secrets holds 0: give one, or two while"),
        ({**BEARER, "secrets": ["a" * 20, "b" * 20, "c" * 20]}, "secrets holds 3: give one, or two while"),
        ({**BEARER, "secrets": [TOKEN, TOKEN]}, "secrets holds the same secret twice: keep it once"),
        ({**BEARER, "secrets": TOKEN}, "secrets is a string: write a list of strings"),
        ({**BEARER, "secrets": [TOKEN, "short"]}, "secrets[1]: the secret of a source has at least 16 characters"),
        ({**QUEUE, "format": "csv"}, f'format is a string: write "{min(PARSERS)}" or'),
        ({**QUEUE, "format": ""}, f'format is empty: write "{min(PARSERS)}" or'),
        ({**QUEUE, "defanged": "yes"}, "defanged is a string: write true or false"),
        ({**QUEUE, "category": "x" * 65}, "category has 65 characters: write at most 64"),
        ({**QUEUE, "ban_days": 31}, "ban_days is 31: give a whole number from 1 to 30"),
        ({**QUEUE, "ban_days": True}, "ban_days is true: give a whole number from 1 to 30"),
        ({**QUEUE, "reports_per_minute": -5}, "reports_per_minute is -5: give a whole number from 0 to"),
        ({**QUEUE, "reports_per_minute": 0.5}, "reports_per_minute is 0.5: give a whole number from 0 to"),
        ({**QUEUE, "hosts": ["example.com", "a b"]}, "hosts[1] is a string, which is no host name"),
        ({**QUEUE, "callback_secret": WEBHOOK_SECRET}, "callback_secret is of no use without callback_url"),
        ({**QUEUE, **CALLBACK, "callback_secret": ""}, "callback_secret: a Standard Webhooks secret is"),
        (
            {**QUEUE, **CALLBACK, "callback_url": "http://a.com/"},
            "callback_url is a URL that is not called: write",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_its_path_with_what_to_write(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse({"desk": fields})
    assert str(refused.value).startswith(f"sources: desk.{said}")


@pytest.mark.parametrize("wrong", [f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN}\t", f"{TOKEN}\u00a0"])
@pytest.mark.parametrize("good", [HUB, BEARER])
def test_white_space_around_a_secret_is_refused_when_it_is_loaded(good: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"desk\.secrets\[0\]: the secret begins or ends with white space"):
        parse({"desk": {**good, "secrets": [wrong]}})


@pytest.mark.parametrize("wrong", ["a token of 16 or more", "a-token-of-\x00-16-or-more", "a-tokén-of-16-or-more"])
def test_a_token_that_no_header_carries_is_refused_when_it_is_loaded(wrong: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"secrets\[0\]: a bearer token holds a character that no header carries"
    ):
        parse({"desk": {**BEARER, "secrets": [wrong]}})
    if "\x00" not in wrong:
        assert parse({"desk": {**HUB, "secrets": [wrong]}})["desk"].secrets == (wrong,)


@pytest.mark.parametrize("sign", ["\ufeff", "\u200b", "\n", "\u202e"])
def test_a_secret_with_a_sign_that_cannot_be_seen_is_refused_when_it_is_loaded(sign: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"desk\.secrets\[0\]: the secret of a source holds an invisible character"
    ):
        parse({"desk": {**HUB, "secrets": [f"0123456789{sign}abcdef"]}})


@pytest.mark.parametrize("digits", [sha256(b"").hexdigest(), sha256(b"").hexdigest().upper()])
def test_the_hash_of_no_token_is_refused(digits: str) -> None:
    with pytest.raises(ConfigurationError, match="is the one of an empty token") as refused:
        parse({"desk": {**BEARER, "secrets": [f"sha256:{digits}"]}})
    assert digits not in str(refused.value)


@pytest.mark.parametrize("digits", ["", "0" * 63, "0" * 65, "g" * 64, f"{'0' * 64} "])
@pytest.mark.parametrize("prefix", ["sha256", "SHA256"])
def test_what_is_almost_a_hash_is_not_taken_for_a_token(prefix: str, digits: str) -> None:
    with pytest.raises(ConfigurationError, match="the hash of a bearer token is sha256: and 64 hexadecimal digits"):
        parse({"desk": {**BEARER, "secrets": [f"{prefix}:{digits}"]}})

"""A URL has one canonical form, and a text that is not one URL is refused with the reason."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import ConfigurationError, UnusableUrl
from chalicelib.domain.urls import (
    MAX_RAW_LENGTH,
    MAX_URL_LENGTH,
    HostPatterns,
    canonical_url,
    host_of,
    refang,
    scheme_variant,
    unescape_html,
    url_key,
)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("HTTP://Shop.Example.COM", "http://shop.example.com/"),
        (" \t\r\n\fhttps://example.com/a \n", "https://example.com/a"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("https://example.com:8443/a", "https://example.com:8443/a"),
        ("https://user:secret@example.com/a@b?c@d", "https://example.com/a@b?c@d"),
        ("https://example.com/a#b@c#d", "https://example.com/a"),
        ("https://example.com/#", "https://example.com/"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[2001:DB8::0]:80/", "http://[2001:db8::]/"),
        ("https://example.com/a/../b/%2e/c", "https://example.com/b/c"),
        ("https:\\\\example.com\\a", "https://example.com/a"),
    ],
)
def test_a_url_is_serialised_as_a_browser_would_without_fragment_and_userinfo(raw: str, canonical: str) -> None:
    assert canonical_url(raw) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/%7Euser",
        "https://example.com/~user",
        "https://example.com/a//b",
        "https://example.com/a/",
        "https://example.com/?b=1&a=2",
        "https://example.com/a?",
        "https://example.com/a%2fb",
        "https://example.com/a%2Fb",
        "https://www.example.com./",
    ],
)
def test_what_would_change_the_blocked_page_stays_as_it_is(url: str) -> None:
    assert canonical_url(url) == url


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("shop.example.com/a", "does not begin with a scheme"),
        ("ftp://example.com/", "scheme of the URL is ftp"),
        ("javascript:alert(1)", "scheme of the URL is javascript"),
        ("hxxp://example.com/", "defanged"),
        ("hxxps://example[.]com/", "defanged"),
        ("http://exa mple.com/", "check its host"),
        ("http://example.com:99999/", "check its host"),
        ("http://", "check its host"),
        ("http://example.com/\ta", "line break"),
        ("http://example.com/\na", "line break"),
        ("http://example.com/\ra", "line break"),
        ("http://example.com/\0", "NUL"),
        ("http://example.com/\ud800", "surrogate"),
        ("http://example.com/" + "a" * MAX_URL_LENGTH, "longer than 8,192"),
        ("http://example.com/" + "a/../" * MAX_RAW_LENGTH, "longer than 8,192"),
    ],
)
def test_a_url_that_cannot_be_banned_is_refused_with_the_reason(raw: str, reason: str) -> None:
    with pytest.raises(UnusableUrl) as refused:
        canonical_url(raw)
    assert reason in refused.value.reason


PAGE = "https://www.example.com/login"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("https://a.example https://b.example", "second URL"),
        (f"{PAGE}, {PAGE}", "second URL"),
        (f"{PAGE},{PAGE}", "second URL"),
        (f"{PAGE};HTTP://b.example/", "second URL"),
        (f"{PAGE}|{PAGE}", "second URL"),
        (f"{PAGE}{PAGE}", "second URL"),
        (f"<{PAGE}> <{PAGE}>", "does not begin with a scheme"),
        (f"{PAGE} - GET", "words follow the URL"),
        (f"{PAGE} GET", "words follow the URL"),
        (f"{PAGE} (phishing)", "words follow the URL"),
        (f"{PAGE} and the rest", "words follow the URL"),
        (f"{PAGE} www.example.org", "words follow the URL"),
        (f"{PAGE} shop.example.org/a", "words follow the URL"),
        (f"{PAGE}  a", "words follow the URL"),
        (f"See {PAGE}", "does not begin with a scheme"),
        (f"URL: {PAGE}", "scheme of the URL is url"),
        ("https://www.example.com?x=a b c", "words follow the URL"),
        ("https://www.example.com/login phishing", "words follow the URL"),
        ("https://www.example.com/my invoice.pdf", "with %20 for a space that belongs to it"),
        (f"{PAGE}\u00a0", "U+00A0"),
        (f"\u00a0{PAGE}", "U+00A0"),
        (f"{PAGE}\u200b", "U+200B"),
        ("https://www.exa\u00admple.com/", "U+00AD"),
        (f"{PAGE}/\u202e", "U+202E"),
        (f"{PAGE}/\u2028", "U+2028"),
        (f"{PAGE}/\u3164", "U+3164"),
        (f"{PAGE}/\u2800", "U+2800"),
        (f"{PAGE}/\ufeff", "U+FEFF"),
        (f"{PAGE}/\x7f", "U+007F"),
        (f"{PAGE}/\x1b[0m", "U+001B"),
        (f"{PAGE}#\u200b", "U+200B"),
        (f"{PAGE}/\ufffd", "a character that was lost"),
        (f"{PAGE}\u2192https://www.example.org/", "a second URL"),
        (f"{PAGE}\uff0chttps://www.example.org/", "a second URL"),
        (f"{PAGE},hxxps://www.example.org/", "a second URL"),
        (f"{PAGE};ftp://www.example.org/", "a second URL"),
        ("https://https://www.example.com/login", "the scheme stands twice"),
        ("http:https://www.example.com/login", "the scheme stands twice"),
        (f"{PAGE}\u2026", "ends with an ellipsis"),
        (f"{PAGE}/\U0001d159", "U+1D159"),
        (f"{PAGE}/\U00013430", "U+13430"),
        ("https://www(dot)example(dot)com/login", "no host name has"),
        ("https://www{.}example.com/", "no host name has"),
        ("https://www.example.com,www.example.org/", "no host name has"),
        ("www.example.com:81", "does not begin with a scheme"),
        ("www.example.com:443/a", "does not begin with a scheme"),
        ("localhost:8080/a", "does not begin with a scheme"),
        ("//www.example.com/a", "does not begin with a scheme"),
    ],
)
def test_a_text_that_is_not_one_url_is_refused_with_the_reason(raw: str, reason: str) -> None:
    with pytest.raises(UnusableUrl) as refused:
        canonical_url(raw)
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("https://www.example.com/?u=https://example.org/", "https://www.example.com/?u=https://example.org/"),
        ("https://web.example.org/web/https://example.com/", "https://web.example.org/web/https://example.com/"),
        ("https://www.example.com/\U0001f600", "https://www.example.com/%F0%9F%98%80"),
        ("https://www.example.com/%E2%80%8B", "https://www.example.com/%E2%80%8B"),
        ("https://a_b.example.com/", "https://a_b.example.com/"),
    ],
)
def test_a_text_that_is_one_url_is_taken_as_a_browser_would_take_it(raw: str, canonical: str) -> None:
    assert canonical_url(raw) == canonical


def test_the_length_limit_counts_the_canonical_form() -> None:
    longest = "http://example.com/" + "a" * (MAX_URL_LENGTH - 19)
    assert canonical_url(longest) == longest
    assert canonical_url(f"{longest}#{longest}") == longest
    with pytest.raises(UnusableUrl):
        canonical_url("http://example.com/" + "ü" * (MAX_URL_LENGTH // 6))


def test_a_reason_never_repeats_the_password_in_a_url() -> None:
    with pytest.raises(UnusableUrl) as refused:
        canonical_url("ftp://user:secret@example.com/")
    assert "secret" not in refused.value.reason


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60).map(lambda tail: "http://example.com" + tail) | st.text(max_size=60))
def test_canonicalisation_is_idempotent_and_raises_nothing_but_unusable(raw: str) -> None:
    try:
        canonical = canonical_url(raw)
    except UnusableUrl:
        return
    assert canonical_url(canonical) == canonical
    assert canonical.startswith(("http://", "https://"))
    assert "#" not in canonical
    assert host_of(canonical)
    variant = scheme_variant(canonical)
    assert not variant or scheme_variant(variant) == canonical


def test_a_key_is_128_bits_of_the_hash_of_account_and_url() -> None:
    from base64 import urlsafe_b64encode

    for number in range(200):
        url = f"https://example.com/{number}"
        digest = sha256(b"main\0" + url.encode()).digest()[:16]
        assert url_key("main", url) == urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert url_key("a", "b") != url_key("ab", "")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/a:b", "example.com"),
        ("https://example.com:8443/", "example.com"),
        ("http://192.0.2.1:81/", "192.0.2.1"),
        ("http://[2001:db8::1]/", "[2001:db8::1]"),
        ("http://[2001:db8::1]:81/", "[2001:db8::1]"),
    ],
)
def test_the_host_of_a_url_has_no_port(url: str, host: str) -> None:
    assert host_of(url) == host


def test_a_scheme_variant_has_the_other_scheme_unless_a_port_is_named() -> None:
    assert scheme_variant("http://example.com/a:b") == "https://example.com/a:b"
    assert scheme_variant("https://[2001:db8::1]/a") == "http://[2001:db8::1]/a"
    assert scheme_variant("https://example.com:8443/a") == ""
    assert scheme_variant("http://[2001:db8::1]:81/") == ""
    assert scheme_variant("http://example.com/" + "a" * (MAX_URL_LENGTH - 19)) == ""


def test_a_wildcard_covers_any_depth_below_its_name_but_not_the_name() -> None:
    hosts = HostPatterns(["*.Example.com", "www.example.org", "*.bücher.example"])
    assert hosts.covers("a.example.com")
    assert hosts.covers("c.b.a.example.com")
    assert not hosts.covers("example.com")
    assert not hosts.covers("badexample.com")
    assert not hosts.covers("a.example.com.")
    assert hosts.covers("www.example.org")
    assert not hosts.covers("a.www.example.org")
    assert not hosts.covers("example.org")
    assert hosts.covers("a.xn--bcher-kva.example")


def test_addresses_and_single_labels_are_covered_only_where_they_are_listed() -> None:
    hosts = HostPatterns(["192.0.2.1", "[2001:DB8::1]", "localhost", "*.example.com"])
    assert hosts.covers("192.0.2.1")
    assert hosts.covers("[2001:db8::1]")
    assert hosts.covers("localhost")
    assert not hosts.covers("192.0.2.2")
    assert not hosts.covers("intranet")


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "*", "*.", "*..", "a.*.com", "*.*.com", "*.1", "*.2.1", "*.[::1]", "exa mple.com", "user@example.com"),
        *("http://example.com", "example.com/a", "example.com:80", "example.com:81", "[2001:db8::1]:80", "a?", "a#"),
    ],
)
def test_a_pattern_that_is_no_host_name_is_refused_when_it_is_loaded(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="is no host name"):
        HostPatterns(["example.com", pattern])


def test_an_empty_set_of_hosts_covers_nothing() -> None:
    assert not HostPatterns([])
    assert not HostPatterns([]).covers("example.com")


@pytest.mark.parametrize(
    ("defanged", "url"),
    [
        ("hxxp://shop[.]example[.]com/a", "http://shop.example.com/a"),
        ("hXXps[://]shop(.)example.com", "https://shop.example.com"),
        ("hxxps[:]//user[at]shop.example.com", "https://user@shop.example.com"),
        ("https://example.com/hxxp://x", "https://example.com/hxxp://x"),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]/"),
        ("hxxpx://example.com", "hxxpx://example.com"),
        ("http[s]://example.com", "https://example.com"),
        ("hxxp(s)://example.com", "https://example.com"),
    ],
)
def test_refanging_undoes_the_usual_spellings(defanged: str, url: str) -> None:
    assert refang(defanged) == url


def test_unescaping_touches_only_entities_that_end_with_a_semicolon() -> None:
    assert unescape_html("https://e.example/?a=1&amp;region=2&#x26;copy=3&#38;d") == (
        "https://e.example/?a=1&region=2&copy=3&d"
    )
    assert unescape_html("https://e.example/?a=1&region=2&copy=3") == "https://e.example/?a=1&region=2&copy=3"
    assert unescape_html("https://e.example/?a=&amp;amp;") == "https://e.example/?a=&amp;"

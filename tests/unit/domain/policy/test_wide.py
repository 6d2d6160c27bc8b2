"""Protection covers every spelling: no other spelling of a protected page passes."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.config.policy import parse
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.wide import is_root, wide
from chalicelib.domain.urls import canonical_url

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
PAGE = "https://shop.example.com/account/checkout"


@pytest.mark.parametrize(
    "spelling",
    [
        "https://shop.example.com/account/checkout?",
        "https://shop.example.com/account/checkout/",
        "https://shop.example.com/account/%63heckout",
        "https://shop.example.com/account/%2563heckout",
        "https://shop.example.com//account//checkout",
        "http://shop.example.com:443/account/checkout",
        "https://shop.example.com:8443/account/checkout",
        "https://shop.example.com/%61ccount/checkout",
        "https://shop.example.com/account%2fcheckout",
        "https://shop.example.com/account%5ccheckout",
        "https://shop.example.com/Account/CHECKOUT",
        "https://shop.example.com/account/checkout;jsessionid=1",
        "https://shop.example.com/account;v=1/checkout",
        "https://shop.example.com/x/%2e%2e/account/checkout",
        "https://shop.example.com/account/checkout.",
        "https://shop.example.com/account/checkout%00",
        "https://shop.example.com/account/checkout%20",
        "https://shop.example.com/account/check%C2%ADout",
        "https://shop.example.com/account/%EF%BD%83heckout",
        "https://user@shop.example.com/account/checkout#part",
    ],
)
def test_a_spelling_of_a_page_has_its_form(spelling: str) -> None:
    form, page = wide(canonical_url(spelling)), wide(PAGE)
    assert (form.host, form.page, form.query) == (page.host, page.page, "")


@pytest.mark.parametrize(
    "other", ["/account", "/account/check", "/account/checkout2", "/account/checkout/x", "/checkout"]
)
def test_another_page_has_another_form(other: str) -> None:
    assert wide(f"https://shop.example.com{other}").page != wide(PAGE).page


def test_a_query_is_told_from_none_however_it_is_encoded() -> None:
    asked = wide(canonical_url(f"{PAGE}?a=b%20c&d=1"))
    assert wide(canonical_url(f"{PAGE}?%61=b+c&d=1")) == asked
    assert wide(canonical_url(f"{PAGE}%3Fa=b%20c&d=1")) == asked
    assert asked.query != ""


def test_case_tells_pages_apart_only_where_the_policy_says_so() -> None:
    assert wide(f"{PAGE}X", ignore_case=False) != wide(f"{PAGE}x", ignore_case=False)


@pytest.mark.parametrize(
    "target", ["/", "/?", "//", "/;", "/%2f", "/index.html", "/INDEX.php", "/.", "/%2e/", "/?&", "/;x/?"]
)
def test_a_spelling_of_the_root_is_the_root(target: str) -> None:
    assert is_root(canonical_url(f"https://shop.example.com{target}"))


@pytest.mark.parametrize(
    "target", ["/a", "/?a", "/login", "/index", "/indexes.html/x", "/%61", "/-", "/index.html?x=1"]
)
def test_a_page_is_no_root(target: str) -> None:
    assert not is_root(canonical_url(f"https://shop.example.com{target}"))


def test_a_query_makes_no_page_where_the_cdn_ignores_queries() -> None:
    assert is_root("https://shop.example.com/?a=1", ignores_queries=True)


# --- any combination of spellings ----------------------------------------------------------------------------------


def respell(path: str, dice: random.Random) -> str:
    """Spell a path differently, by any number of tricks at once."""
    spelled = ""
    for sign in path:
        trick = dice.randrange(7)
        if sign == "/":
            spelled += dice.choice(["/", "//", "/./", "%2f", "%2F", "/x/../", "\\", "/%2e/"]) if spelled else "/"
        elif trick == 0:
            spelled += "".join(f"%{byte:02x}" for byte in sign.encode())
        elif trick == 1:
            spelled += "".join(f"%25{byte:02X}" for byte in sign.encode())
        elif trick == 2:
            spelled += sign.upper() if len(sign.upper()) == 1 else sign
        else:
            spelled += sign
    return spelled + dice.choice(["", "/", ";a=1", "?", "?x=1", "#part", ".", "%20"])


@settings(max_examples=10_000, deadline=None)
@given(
    st.lists(st.text("abcxyz019-_~é", min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from(["https://shop.example.com", "http://SHOP.example.com:80", "https://shop.example.com:444"]),
    st.randoms(use_true_random=False),
)
def test_every_spelling_of_a_page_has_its_form(segments: list[str], origin: str, dice: random.Random) -> None:
    path = "/" + "/".join(segments)
    page = wide(canonical_url("https://shop.example.com" + quote(path)))
    try:
        spelled = canonical_url(origin + respell(path, dice))
    except UnusableUrl:
        return
    form = wide(spelled)
    assert (form.host, form.page) == (page.host, page.page), spelled


# --- no spelling of a protected page is sent ----------------------------------------------------------------------

PROTECTING = parse(
    {
        "version": 1,
        "accounts": {"main": {"managed_domains": ["*.example.com"]}},
        "bare_hosts": "ban",
        "protected": [
            {"url": PAGE, "comment": "the checkout"},
            {"url": "https://shop.example.com/item?id=7", "comment": "one item"},
            {"prefix": "https://shop.example.com/help/", "comment": "help"},
        ],
    }
)


@settings(max_examples=10_000, deadline=None)
@given(
    st.sampled_from(["/account/checkout", "/help/me", "/help/a/b"]),
    st.sampled_from(["https://shop.example.com", "http://SHOP.example.com:80", "https://shop.example.com:444"]),
    st.randoms(use_true_random=False),
)
def test_no_spelling_of_a_protected_page_may_be_banned(path: str, origin: str, dice: random.Random) -> None:
    try:
        url = canonical_url(origin + respell(path, dice))
    except UnusableUrl:
        return
    decided = forbidden(url, "main", PROTECTING, NOW)
    assert decided is not None, url


@pytest.mark.parametrize(
    ("target", "is_protected"),
    [
        ("/item?id=7", True),
        ("/item?%69d=7", True),
        ("/Item/?id=7", True),
        ("/item?id=8", False),
        ("/item", False),
        ("/help", False),
        ("/account/checkout-2", False),
    ],
)
def test_an_entry_with_a_query_covers_that_query_and_other_pages_are_banned(target: str, is_protected: bool) -> None:
    assert (forbidden(f"https://shop.example.com{target}", "main", PROTECTING, NOW) is not None) is is_protected

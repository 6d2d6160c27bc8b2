"""Links that mail gateways wrapped are unwrapped, or named with their wrapper."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.link_wrappers import unwrap_link, wrapper_of

PAGE = "https://www.example.com/login?a=1&b=%2F2"
QUOTED = quote(PAGE, safe="")


@pytest.mark.parametrize(
    "url",
    [
        f"https://eur01.safelinks.protection.outlook.com/?url={QUOTED}&data=05%7C01&sdata=x%3D&reserved=0",
        f"https://nam06.safelinks.protection.outlook.com/ap/w-59584e83/?url={QUOTED}&reserved=0",
        f"HTTPS://EUR01.SafeLinks.Protection.Outlook.com/?url={QUOTED}",
        f"https://urldefense.proofpoint.com/v1/url?u={QUOTED}&k=x",
        "https://urldefense.proofpoint.com/v2/url?u=https-3A__www.example.com_login-3Fa-3D1-26b-3D-252F2&d=x&c=y",
        f"https://urldefense.com/v3/__{PAGE}__;!!abc!x$",
        f"https://urldefense.us/v3/__{PAGE}__;!!abc!x$",
        f"https://urldefense.com/v3/__{PAGE.replace('://', ':/')}__;!!abc!x$",
        "https://urldefense.com/v3/__https://www.example.com/login*a**Bb=*2F2__;Pz0xJiU!!abc!x$",
        f"https://secure-web.cisco.com/1a2b/{QUOTED}",
        f"https://ca-1234-clicktime.ctp.trendmicro.com/wis/clicktime/v1/query?url={QUOTED}&umid=1",
        f"https://protect2.fireeye.com/v1/url?k=a&q=1&u={QUOTED}",
        f"https://eu-west-1.protection.sophos.com/?d=example.com&u={urlsafe_b64encode(PAGE.encode()).decode()}&i=1",
        f"https://url.avanan.click/v2/___{PAGE}___.YXA6",
        f"https://protect.checkpoint.com/v2/___{PAGE}___.YXA6",
        f"https://safe.menlosecurity.com/{PAGE}",
        f"https://linklock.titanhq.com/analyse?url={QUOTED}&data=x",
        f"https://statics.teams.cdn.office.net/evergreen-assets/safelinks/1/atp-safelinks.html?url={QUOTED}",
        f"https://linkprotect.cudasvc.com/url?a={QUOTED}&c=E",
        f"https://www.google.com/url?sa=t&q={QUOTED}",
        f"https://l.facebook.com/l.php?u={QUOTED}&h=x",
    ],
)
def test_the_page_inside_a_wrapped_link_is_found(url: str) -> None:
    assert wrapper_of(url)
    assert unwrap_link(url) == PAGE


def test_a_link_that_was_wrapped_twice_is_unwrapped_twice() -> None:
    inner = f"https://www.google.com/url?q={QUOTED}"
    assert unwrap_link(f"https://eur01.safelinks.protection.outlook.com/?url={quote(inner, safe='')}") == PAGE


@pytest.mark.parametrize(
    "url",
    [
        "https://eur01.safelinks.protection.outlook.com/?data=1",
        "https://eur01.safelinks.protection.outlook.com/?url=javascript:alert(1)",
        f"https://eur01.safelinks.protection.outlook.com/?url={QUOTED}&url={QUOTED}",
        "https://protect.mimecast.com/s/opaque",
        "https://urldefense.com/v3/__https://www.example.com/*a*b__;Iw!!x$",
        "https://urldefense.com/v3/__https://www.example.com/*a__;%%!!x$",
        "https://eu-west-1.protection.sophos.com/?d=example.com&u=%%%",
        "https://protect-us.mimecast.com/s/opaque?domain=example.com",
        "https://url.us.m.mimecastprotect.com/s/opaque",
        "https://secure-web.cisco.com/1a2b/opaque",
    ],
)
def test_a_wrapper_that_does_not_show_its_page_stays_as_it_is_and_is_named(url: str) -> None:
    assert unwrap_link(url) == url
    assert wrapper_of(url)


@pytest.mark.parametrize(
    "url",
    [
        PAGE,
        f"https://www.example.com/?url={QUOTED}",
        f"https://safelinks.protection.outlook.com.evil.example/?url={QUOTED}",
        f"https://evil-safelinks.protection.outlook.com.example/?url={QUOTED}",
        "https://www.google.com/search?q=https://www.example.com/",
        "ftp://urldefense.com/v3/__https://www.example.com/__;!!",
        "https://[::1",
        "not a url",
        "",
    ],
)
def test_what_is_no_wrapped_link_stays_as_it_is(url: str) -> None:
    assert unwrap_link(url) == url
    assert not wrapper_of(url)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_arbitrary_texts_raise_nothing(text: str) -> None:
    unwrap_link(text)
    unwrap_link(f"https://eur01.safelinks.protection.outlook.com/{text}")
    wrapper_of(text)

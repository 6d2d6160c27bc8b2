"""A name below which strangers register names of their own cannot be a managed domain."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from chalicelib.config.policy import parse
from chalicelib.config.public_suffixes import LIST, company_suffix, registry_suffix
from chalicelib.domain.errors import ConfigurationError
from dev.package import ROOT
from dev.public_suffixes import shortened


def managed(*patterns: str, own: tuple[str, ...] = ()) -> None:
    account = {"managed_domains": [*patterns], "own_suffixes": [*own]}
    parse({"version": 1, "accounts": {"main": account}})


@pytest.mark.parametrize(
    "pattern", ["com", "co.uk", "*.co.uk", "*.CO.UK", "*.github.io", "github.io", "*.中国", "foo.ck", "*.foo.ck"]
)
def test_a_public_suffix_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"strangers register|top-level"):
        managed(pattern)


@pytest.mark.parametrize("pattern", ["example.com", "*.example.co.uk", "*.me.github.io", "www.ck", "192.0.2.1"])
def test_a_name_below_one_is_not(pattern: str) -> None:
    managed(pattern)


def test_a_company_may_manage_its_own_suffix_and_nobody_a_registrys() -> None:
    managed("*.github.io", own=("github.io",))
    with pytest.raises(ConfigurationError, match="own_suffixes"):
        managed("*.github.io")
    with pytest.raises(ConfigurationError, match="strangers register"):
        managed("*.co.uk", own=("co.uk",))


def test_the_list_says_of_which_day_it_is_and_is_searched_as_it_stands() -> None:
    text = LIST.read_text()
    assert re.search(r"^// VERSION: 20\d\d-\d\d-\d\d", text, re.MULTILINE)
    rules = [line for line in text.splitlines() if not line.startswith("//")]
    assert len(rules) > 9_000
    for rule in rules[::50]:
        if not rule.startswith(("!", "*")):
            assert registry_suffix(rule) or company_suffix(rule), rule


def test_a_copy_of_the_list_is_shortened_to_ascii_rules() -> None:
    registries = "// VERSION: 1\n\n// ===BEGIN ICANN DOMAINS===\n// uk\nco.uk\n*.ck\n!www.ck\n中国\n"
    published = registries + "// ===BEGIN PRIVATE DOMAINS===\ngithub.io\n"
    rules = shortened(published).splitlines()
    assert rules[-6:] == ["!www.ck", "*.ck", "co.uk", "xn--fiqs8s", "// private", "github.io"]


def test_the_list_is_not_read_before_a_policy_is() -> None:
    script = "import app, chalicelib.config.public_suffixes as p; assert not p._sections.cache_info().currsize"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)

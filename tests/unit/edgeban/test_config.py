"""The environment wins over a profile's file, and a file that others can read is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edgeban import config

FILE = """
default = "prod"
[profiles.prod]
url = "https://edgeban.example.com/api"
token_command = "echo from-a-command"
[profiles.prod.sources.desk]
auth = "bearer"
secret_command = "printf 'first line\\nsecond'"
[profiles.test]
url = "https://test.example.com/api"
token = "from-the-file"
"""


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("EDGEBAN_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    monkeypatch.setenv("EDGEBAN_CONFIG", str(path))
    return path


def test_the_default_profile_is_used_and_another_by_name(file: Path) -> None:
    assert config.read_profile().read_token() == "from-a-command"
    assert config.read_profile("test").read_token() == "from-the-file"


def test_the_environment_is_before_the_profile(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBAN_TOKEN", "from-the-environment")
    monkeypatch.setenv("EDGEBAN_URL", "https://other.example.com")
    profile = config.read_profile()
    assert (profile.read_token(), profile.read_url()) == ("from-the-environment", "https://other.example.com")
    assert config.read_profile(url="https://flag.example.com").read_url() == "https://flag.example.com"


def test_a_source_has_its_scheme_and_the_first_line_of_its_command(file: Path) -> None:
    source = config.read_profile().source("desk")
    assert (source.auth, source.read_secret()) == ("bearer", "first line")


def test_a_file_that_others_can_read_is_refused(file: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(config.ConfigurationProblem, match="chmod 600"):
        config.read_profile()


@pytest.mark.parametrize(
    ("name", "words"),
    [("nobody", "it has: prod, test"), ("broken", "is not TOML"), ("failing", "failed with status 3")],
)
def test_what_cannot_be_used_is_named(file: Path, name: str, words: str) -> None:
    if name == "broken":
        file.write_text("default = ")
    if name == "failing":
        file.write_text(FILE.replace("echo from-a-command", "exit 3"))
        name = "prod"
    with pytest.raises(config.ConfigurationProblem, match=words):
        config.read_profile(name).read_token()


def test_a_login_keeps_the_other_profiles_and_is_readable_for_its_owner_alone(file: Path) -> None:
    config.store_login("new", "https://new.example.com", 'a "token"')
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert config.read_profile("new").read_token() == 'a "token"'
    assert config.read_profile().source("desk").read_secret() == "first line"
    assert config.read_profile().read_token() == "from-a-command"


def test_without_anything_the_remedy_is_named(file: Path) -> None:
    file.unlink()
    with pytest.raises(config.ConfigurationProblem, match="EDGEBAN_URL"):
        config.read_profile().read_url()
    with pytest.raises(config.ConfigurationProblem, match="EDGEBAN_TOKEN"):
        config.read_profile().read_token()

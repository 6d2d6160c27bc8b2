"""Where the command line finds the API, tokens and secrets: flags, the environment, then a profile in a file."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 30.0


class ConfigurationProblem(Exception):
    """The configuration cannot be used. The message names the file or variable, and the remedy."""


@dataclass(frozen=True)
class SourceSettings:
    """How a source signs its reports."""

    name: str
    auth: str = "standard-webhooks"
    secret: str = ""
    secret_command: str = ""

    def read_secret(self) -> str:
        """Return the secret. Raises ``ConfigurationProblem`` if there is none."""
        found = os.environ.get("EDGEBAN_SOURCE_SECRET") or self.secret or _output_of(self.secret_command)
        if not found:
            raise ConfigurationProblem(
                f"no secret of source {self.name!r}: set EDGEBAN_SOURCE_SECRET, or secret_command in the profile"
            )
        return found


@dataclass(frozen=True)
class Profile:
    """One edgeban: its URL, and how its token is found."""

    name: str
    url: str = ""
    token: str = ""
    token_command: str = ""
    keyring: bool = False
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)

    def read_url(self) -> str:
        """Return the API's URL. Raises ``ConfigurationProblem`` if there is none."""
        if not self.url:
            raise ConfigurationProblem("no API: set EDGEBAN_URL, or write a profile with `edgeban login`")
        return self.url

    def read_token(self) -> str:
        """Return the operator's token. Raises ``ConfigurationProblem`` if there is none."""
        found = self.token or _output_of(self.token_command) or self._from_keyring()
        if not found:
            raise ConfigurationProblem("no operator's token: set EDGEBAN_TOKEN, or run `edgeban login`")
        return found

    def source(self, name: str) -> SourceSettings:
        """Return how a source signs, with the defaults if the profile does not name it."""
        chosen = self.sources.get(name, SourceSettings(name))
        auth = os.environ.get("EDGEBAN_SOURCE_AUTH")
        if not auth:
            return chosen
        return SourceSettings(name, auth, chosen.secret, chosen.secret_command)

    def _from_keyring(self) -> str:
        if not self.keyring:
            return ""
        return _keyring().get_password("edgeban", self.name) or ""


def path() -> Path:
    """Return the path of the configuration file: ``EDGEBAN_CONFIG``, else the platform's usual place."""
    chosen = os.environ.get("EDGEBAN_CONFIG")
    if chosen:
        return Path(chosen)
    import click

    return Path(click.get_app_dir("edgeban")) / "config.toml"


def read_profile(name: str = "", *, url: str = "") -> Profile:
    """Read a profile; values of the environment replace its values. Raises ``ConfigurationProblem``."""
    document = _read(path())
    profiles = document.get("profiles", {})
    chosen = name or os.environ.get("EDGEBAN_PROFILE") or str(document.get("default") or "")
    if chosen and chosen not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigurationProblem(f"{path()} has no profile {chosen!r}; it has: {known}")
    entry: Mapping[str, Any] = profiles.get(chosen, {})
    return Profile(
        name=chosen,
        url=url or os.environ.get("EDGEBAN_URL") or str(entry.get("url", "")),
        token=os.environ.get("EDGEBAN_TOKEN") or str(entry.get("token", "")),
        token_command="" if os.environ.get("EDGEBAN_TOKEN") else str(entry.get("token_command", "")),
        keyring=entry.get("keyring") is True,
        sources={
            source: SourceSettings(
                source,
                str(settings.get("auth", "standard-webhooks")),
                str(settings.get("secret", "")),
                str(settings.get("secret_command", "")),
            )
            for source, settings in entry.get("sources", {}).items()
        },
    )


def default_source() -> str:
    """Return the source that ``EDGEBAN_SOURCE`` names, or nothing."""
    return os.environ.get("EDGEBAN_SOURCE", "")


def store_login(name: str, url: str, token: str) -> str:
    """Add or replace a profile and say where its token is kept: in the keyring if there is one, else in the file."""
    document = _read(path())
    profiles: dict[str, Any] = dict(document.get("profiles", {}))
    entry = {key: value for key, value in profiles.get(name, {}).items() if key not in {"token", "keyring"}}
    entry["url"] = url
    where = "the keyring"
    try:
        _keyring().set_password("edgeban", name, token)
        entry["keyring"] = True
    except Exception:  # noqa: BLE001  A missing or locked keyring has errors of many kinds; the file is the other way.
        entry["token"], where = token, str(path())
    profiles[name] = entry
    _write(path(), {"default": document.get("default") or name, "profiles": profiles})
    return where


def _keyring() -> Any:
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ConfigurationProblem("install the keyring with `pipx inject edgeban keyring`") from None
    return keyring


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise ConfigurationProblem(f"{file} may hold a token and others can read it: run `chmod 600 {file}`")
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationProblem(f"{file} is not TOML: {error}") from None


def _write(file: Path, document: Mapping[str, Any]) -> None:
    """Write the whole file or nothing. Only its owner can read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    lines = [f"default = {_toml(document['default'])}"]
    for name, entry in document["profiles"].items():
        lines += ["", f"[profiles.{_toml(name)}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in entry.items() if not isinstance(value, dict)]
        for source, settings in entry.get("sources", {}).items():
            lines += ["", f"[profiles.{_toml(name)}.sources.{_toml(source)}]"]
            lines += [f"{key} = {_toml(value)}" for key, value in settings.items()]
    unfinished.write_text("\n".join(lines) + "\n", "utf-8")
    unfinished.replace(file)


def _toml(value: object) -> str:
    """Write a value as TOML; JSON's strings are TOML's basic strings."""
    import json

    return json.dumps(value, ensure_ascii=False)


def _output_of(command: str) -> str:
    """Return the first line that a command prints. Raises ``ConfigurationProblem`` if it fails."""
    if not command:
        return ""
    try:
        ran = subprocess.run(  # noqa: S602  The person's own command, from a file that only they can read.
            command, shell=True, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationProblem(f"the command for the secret took over {COMMAND_SECONDS:.0f} s: {command}") from None
    if ran.returncode or not ran.stdout.strip():
        raise ConfigurationProblem(f"the command for the secret failed with status {ran.returncode}: {command}")
    return ran.stdout.strip().splitlines()[0]

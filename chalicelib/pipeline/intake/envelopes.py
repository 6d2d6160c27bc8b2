"""Find who reports by a queue message, and the bodies of the report: in the message, or in S3 objects that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chalicelib.config.sources import Source
from chalicelib.domain.errors import InputError
from chalicelib.pipeline.intake.time_limit import READ_SECONDS
from chalicelib.reports.envelope import ObjectReference, Unwrapped

Fetch = Callable[[ObjectReference], bytes]
"""Read an object that a message names. Raises InputError if it is not one of ours to read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How messages are read. ``seconds`` is the time for each; ``fetch`` reads the objects that they name."""

    sources: Mapping[str, Source]
    fetch: Fetch | None = None
    seconds: float = READ_SECONDS


def source_of(unwrapped: Unwrapped, attributes: Mapping[str, str], sources: Mapping[str, Source]) -> Source:
    """Find the source: for an object, the first part of its key (``<source>/…``), else the attribute ``source``.

    The bucket's owner grants who may write below which prefix. So an attribute may not name another source.
    """
    prefixes = {reference.key.partition("/")[0] for reference in unwrapped.objects}
    if len(prefixes) > 1:
        raise InputError("the event of S3 names objects of several sources: let each have an event of its own")
    name = next(iter(prefixes), attributes.get("source", ""))
    source = sources.get(name)
    if source is None:
        what = "the first part of the object's key" if prefixes else "the attribute source"
        raise InputError(f"{what} is {name[:60]!r}: name a configured source")
    return source


def bodies_in(unwrapped: Unwrapped, fetch: Fetch | None) -> list[bytes]:
    """Return the bodies of a message. Raises InputError if it names an object that cannot be read."""
    if not unwrapped.objects:
        return [unwrapped.body]
    if fetch is None:
        raise InputError("the message names an object in S3, and no intake bucket is configured")
    return [fetch(each) for each in unwrapped.objects]

"""edgeban: abuse reports in, URL bans at CDNs out, and the record of it."""

VERSION = "2.0.0"
"""The version of edgeban, of its API and of its packages. It is written only here."""

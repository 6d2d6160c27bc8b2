"""Alibaba Cloud CDN: the vendor blocks URLs by itself, and exports which."""

CREDENTIALS = frozenset(
    {"access_key", "secret_key", "security_token", "signature", "download_hosts", "report_to_queue"}
)
"""Fields of an account in the vendors secret beside ``vendor`` and ``endpoint``. ``client.connect`` explains the
keys, docs/archive.md the rest."""

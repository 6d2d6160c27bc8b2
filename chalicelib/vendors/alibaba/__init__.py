"""Alibaba Cloud: CDN exports which URLs the vendor blocked by itself (``client``), ESA bans URLs (``esa``)."""

CREDENTIALS = frozenset(
    {"access_key", "secret_key", "security_token", "signature", "download_hosts", "report_to_queue"}
)
"""Fields of an account in the vendors secret beside ``vendor`` and ``endpoint``. ``client.connect`` explains the
keys, docs/archive.md the rest."""

ESA_CREDENTIALS = frozenset({"access_key", "secret_key", "security_token", "site_id"})
"""The same for ``esa.connect``."""

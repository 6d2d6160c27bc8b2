"""Volcengine CDN and BytePlus CDN, one service behind two hosts: URLs can be banned there."""

CREDENTIALS = frozenset({"access_key", "secret_key", "security_token", "region", "urls_per_day", "unbans_per_day"})
"""Fields of an account in the vendors secret beside ``vendor`` and ``endpoint``. ``client.connect`` explains them."""

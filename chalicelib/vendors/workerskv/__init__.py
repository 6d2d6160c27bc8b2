"""Cloudflare Workers KV: URLs are banned there by a Worker that looks every request up. See edge/cloudflare-worker."""

CREDENTIALS = frozenset({"api_token", "account_id", "namespace_id"})
"""Fields of an account in the vendors secret beside ``vendor`` and ``endpoint``. ``client.connect`` explains them."""

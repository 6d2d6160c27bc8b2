"""Cloudflare Workers KV: a Worker looks up every request in it and bans URLs so. See edge/cloudflare-worker."""

CREDENTIALS = frozenset({"api_token", "account_id", "namespace_id"})
"""Fields of an account in the vendors secret beside ``vendor`` and ``endpoint``. ``client.connect`` explains them."""

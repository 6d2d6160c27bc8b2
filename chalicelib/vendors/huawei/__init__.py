"""Huawei Cloud CDN: URLs can be banned there."""

CREDENTIALS = frozenset(
    {"access_key", "secret_key", "security_token", "domain_id", "user", "password", "domain", "iam_endpoint"}
)
"""Fields of an account in the vendors secret beside ``vendor`` and ``endpoint``. ``client.connect`` explains them."""

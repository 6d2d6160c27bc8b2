"""Amazon CloudFront KeyValueStore: a viewer function looks up every request in it. See edge/cloudfront-function."""

CREDENTIALS = frozenset({"access_key", "secret_key", "security_token", "store_arn"})
"""Fields of an account in the vendors secret beside ``vendor`` and ``endpoint``. ``client.connect`` explains them."""

"""The life of a ban: claiming URLs, ordering chunks, expiry, splitting tasks. The other rooms stand on it."""

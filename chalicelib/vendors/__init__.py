"""One file per CDN vendor; ``http`` is the only socket to a vendor."""

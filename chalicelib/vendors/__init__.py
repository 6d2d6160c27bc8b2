"""One folder for each CDN vendor. ``registry`` names them all; ``http`` is the only HTTP client to vendors."""

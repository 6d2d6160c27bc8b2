"""Bans in force: renewed, compared with the vendor's list, verified at the edge."""

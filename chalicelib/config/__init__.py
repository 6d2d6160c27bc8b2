"""The documents that operators write, one reader for each."""

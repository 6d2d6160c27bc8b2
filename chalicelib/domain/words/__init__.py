"""The result of several words about one URL: the strongest word counts, in whatever order they came (I2)."""

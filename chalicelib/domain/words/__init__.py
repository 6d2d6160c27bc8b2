"""What several words about one URL come to: the strongest stands, whichever came first (I2)."""

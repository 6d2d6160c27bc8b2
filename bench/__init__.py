"""What edgeban costs and how fast it is, measured: ``make bench`` prints one table and writes docs/figures.md."""

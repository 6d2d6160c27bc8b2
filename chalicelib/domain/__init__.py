"""What is true with no computer attached: no I/O, no clock, no AWS."""

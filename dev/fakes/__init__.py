"""In-memory twins of everything outside: rows, queues, objects, vendors, and a World that wires them."""

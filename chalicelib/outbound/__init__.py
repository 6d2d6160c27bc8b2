"""Calls to addresses that strangers name: only public ones, pinned, capped in bytes and time."""

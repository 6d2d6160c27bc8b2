"""Calls to addresses that strangers name: only public ones, pinned, with limits on bytes and time."""

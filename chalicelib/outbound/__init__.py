"""Calls to addresses that strangers choose: only public ones, pinned, with limits on bytes and time."""

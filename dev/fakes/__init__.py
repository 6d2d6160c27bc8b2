"""Fakes in memory of everything outside, and what tests and the bench do with them.

==============  ===================================================================================================
``world``       ``World``: all of edgeban in one process, its state in the open, a method for each function; ``Clock``
``operations``  what people, schedules and receivers do in a ``World``: unban, approve, renew, compare, verify, deliver
``archive``     a ``World`` with an archive of its ledger; ``exports``: the export archive against a fake vendor
``api``         the app's routes over a ``World``
``rows``        the ledger's table; ``objects``: the archive bucket; ``vendor``: a CDN account
``limits``      what AWS refuses, whoever asks; ``rights``: what a function's policy does not allow it
``wrappers``    calls that are killed, fail, or meet another function at a bad moment
``histories``   what histories drawn at random have in common
==============  ===================================================================================================
"""

"""Tools that break things: hostile inputs (``fuzz``), and a run of the deployed stack in a storm (``storm``).

``plan`` draws what is reported, ``proxy`` breaks calls to AWS, ``workers`` kills functions, ``shortened`` deploys the
project with shorter times, ``checker`` judges the result. ``tests/fault`` runs bounded forms of both.
"""

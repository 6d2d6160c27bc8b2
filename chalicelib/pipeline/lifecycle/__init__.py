"""The life of a ban. The other rooms of the pipeline stand on it.

It begins in ``claiming``, which opens a chunk, claims its URLs and seals it; ``finishing`` heals a crash in between.
``ordering`` lets bans and unbans of one URL go one after the other, ``splitting`` takes tasks apart, ``expiry`` tells
when a ban ends. ``renewing``, ``retrying`` and ``successors`` carry bans on, ``handing_back`` deals with renewals that
failed, ``ending`` lifts bans; ``due_chunks`` finds what is due. ``releasing`` lets URLs leave holds, ``approved`` tells
what a person let through, ``on_claim`` and ``version_1`` read claims, ``explaining`` tells what is true of a URL,
``calling_back`` whom to tell, ``by_source`` whose bans a task made.
"""

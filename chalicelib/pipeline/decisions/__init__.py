"""What people decide about holds and bans.

Holds: ``holds`` approves and refuses them, ``approving`` and ``approved_ends`` carry an approval out, ``alone`` counts
how many URLs one person lets through, ``several_holds`` decides about many. ``hold_view`` and ``asked_by`` show them,
``hold_notices`` tells people of new ones.

Unbans: ``unban`` undoes bans. ``unban_selection``, ``unban_by_source`` and ``selected_claims`` find the bans.
``second_person`` keeps a large unban until somebody approves it.

``ban_by_hand`` bans URLs without a report and moves ends (``by_hand_request``). ``trial`` says what a policy would
decide.
"""

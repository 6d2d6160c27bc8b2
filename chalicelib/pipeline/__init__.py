"""What the Lambda functions do: one folder for each capability. A ``Run`` holds the collaborators and the clock.

``intake`` makes chunks of reports, ``submission`` makes tasks of chunks and follows them, ``lifecycle`` holds what the
other folders share about a ban. ``upkeep`` renews and checks bans in force, ``decisions`` carries out what people
decide, ``answers`` tells people and sources, ``archive`` writes finished days. ``waking`` wakes the submitter.
"""

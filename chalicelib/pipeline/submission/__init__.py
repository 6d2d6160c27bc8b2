"""From waiting chunks to finished vendor tasks.

``submit`` calls the vendor for what waits (``backlog`` says what is next, ``parallel_calls`` lets calls overlap,
``vendor_tasks`` finds our tasks in the vendor's list). ``track`` follows the tasks to their end. ``sweep`` wakes the
submitter every minute and heals what a crash left.
"""

"""From waiting chunks to finished vendor tasks.

What every URL passes, in this order: ``submit`` calls the vendor for what waits, ``backlog`` says what is next,
``parallel_calls`` lets calls overlap, ``track`` follows the tasks to their end. ``sweep`` wakes the submitter every
minute and heals what a crash left.

What only some pass: ``recorded_tasks`` and ``lost_answers`` (tasks of earlier drains), ``brakes`` (throttling, outages,
a pause), ``day_quota``, ``granted_days``, ``unbans_first``, ``refused_content``, ``failed_tasks`` and
``named_failures``. ``vendor_tasks`` finds our tasks in the vendor's lists.
"""

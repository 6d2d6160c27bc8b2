"""From waiting chunks to finished vendor tasks.

Every URL passes these modules, in this order: ``submit`` calls the vendor for waiting chunks, ``backlog`` says which
task is next, ``parallel_calls`` lets calls overlap, ``track`` follows the tasks to their end. Every minute ``sweep``
wakes the submitter and finishes what a crash left.

Only some URLs pass the others: ``recorded_tasks`` and ``lost_answers`` (tasks of earlier drains), ``brakes``
(throttling, outages, a pause), ``day_quota``, ``granted_days``, ``unbans_first``, ``refused_content``, ``failed_tasks``
and ``named_failures``. ``vendor_tasks`` finds our tasks in the vendor's lists.
"""

"""Many files: a journal of results, chunks of work, and pools of workers that do them.

Nothing here knows what a file is or how it is restored: a task has a name and a payload, and a
function that the caller gives does it. `driver.drive` hands chunks of tasks to a pool, and does the
tasks of a lost worker again, one by one.
"""

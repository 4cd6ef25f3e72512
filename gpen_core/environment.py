"""The only module of the pack that reads variables of the environment; see `settings`."""

import os


def read_variable(name: str) -> str | None:
    """Return the value of a variable, or None if it is not set."""
    return os.environ.get(name)

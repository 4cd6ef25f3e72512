"""The subcommands of `gpen` and their exit codes.

A subcommand's module imports PyTorch only when the subcommand runs, so that `gpen --help` is fast.
"""

FAILED = 1
"""Some files failed; the others are done."""
REFUSED = 2
"""Nothing was done, because an option, the model or the detector cannot be used."""
INTERRUPTED = 130
"""Ctrl-C: 128 plus the number of SIGINT, as in shells."""
TERMINATED = 143
"""SIGTERM, as `kill` and `timeout` send it: 128 plus its number, as in shells."""
UNREAD = 141
"""The reader of the output closed the pipe: 128 plus the number of SIGPIPE, as in shells."""

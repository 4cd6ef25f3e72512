"""The tasks beside restoring that GPEN was published for. Each has a network of its own.

The networks have one architecture. A task differs by what goes in and what becomes of the result.
"""

"""GPEN checkpoints: `loading` reads a file into a network, `catalog` knows the published files.

This package imports none of its modules, so that `gpen models` reads the catalogue without PyTorch.
"""

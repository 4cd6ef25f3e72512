"""The engine for CPUs: one face at a time, in strips of rows that stay in cache."""

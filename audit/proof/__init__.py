"""Checking proofs of possession: every check by its own id, never stopping at the first that fails. Pure functions."""

"""Benches: ratios to a named baseline in the same run, never assertions in tests."""

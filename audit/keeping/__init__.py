"""Keeping a log in order over the years: copies, check-ups, retention."""

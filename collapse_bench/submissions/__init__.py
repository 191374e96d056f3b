"""Submissions: one file per method with its records, checked by others and merged into a board."""

"""Suites: the file, the cells it expands to, the plan of a run and its manifest."""

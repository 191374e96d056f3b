"""Shelf of the suites that ship with the package."""

"""The suites that ship with the package."""

"""Shelf of mitigations: each module in it is one plugin."""

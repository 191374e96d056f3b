"""Shelf of generators: each module in it is one plugin."""

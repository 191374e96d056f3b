"""Shelf of controls: each module in it is one plugin."""

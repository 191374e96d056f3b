"""Shelf of models: each module in it is one plugin."""

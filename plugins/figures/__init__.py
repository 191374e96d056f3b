"""Shelf of figures of papers: each module in it is one plugin."""

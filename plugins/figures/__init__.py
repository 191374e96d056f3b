"""Figures of papers: one module per plugin."""

"""Figures of papers: defined as data, reproduced and drawn."""

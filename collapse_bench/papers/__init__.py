"""Figures of papers: as data, reproduced, and drawn."""

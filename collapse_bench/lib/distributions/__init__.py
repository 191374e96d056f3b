"""Densities, tables of probabilities, decoding and losses on log-probabilities."""

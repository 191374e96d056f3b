"""The protocols: one module for each group of related protocols."""

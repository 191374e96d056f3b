"""The controls: one module per plugin."""

"""The mitigations: one module or folder per plugin."""

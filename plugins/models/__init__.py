"""The models: one module or folder per plugin."""

"""The repository's own plugins, loaded by the same door as a stranger's; one file is one plugin."""

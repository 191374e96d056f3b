"""Foreign code, that of plugins from elsewhere: how it is called, and what it may not change."""

"""Plugins: the hooks they implement, how they are found, and how a spec becomes objects."""

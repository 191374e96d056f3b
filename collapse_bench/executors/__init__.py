"""Ways to run jobs, all of one shape: jobs in, events out; the store is the only shared state."""

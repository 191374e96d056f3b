"""Running: the chains of one cell, jobs, and the executors that work through them."""

"""Records: what is kept of chains, and the store, checkpoints and archives that hold them."""

"""The algorithm: the loop, its components, the corpus, the ledger and the random streams.  No
files, no plugins, no names."""

"""The algorithm: the loop, its components, the corpus, the ledger and the random streams.

Nothing here opens a file, or knows a plugin or its name.
"""

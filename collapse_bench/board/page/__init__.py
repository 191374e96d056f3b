"""The report: one page from a board, and the same numbers in other formats."""

"""Text, tokens and arithmetic as sequences, and measures of texts."""

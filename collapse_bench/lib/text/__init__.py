"""Text, tokens and arithmetic as sequences, and how they are measured."""

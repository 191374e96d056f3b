"""The conformance kit: every plugin of a role is held to the same checks, a file of them per role."""

from .kit import Outcome, checks_of, outcomes

__all__ = ["Outcome", "checks_of", "outcomes"]

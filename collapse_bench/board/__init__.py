"""The leaderboard: a pure function from records to one table object."""

from .table import Board

__all__ = ["Board"]

"""The leaderboard: a pure function from records to one table object."""

from .table import Board, LossBoard, ScoredBoard

__all__ = ["Board", "LossBoard", "ScoredBoard"]

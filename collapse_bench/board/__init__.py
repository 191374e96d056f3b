"""The leaderboard: a pure function from records to one table object."""

from .first_version import FirstBoard
from .ranked import RankedBoard
from .table import Board, LossBoard, ScoredBoard

__all__ = ["Board", "FirstBoard", "LossBoard", "RankedBoard", "ScoredBoard"]

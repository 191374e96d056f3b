"""The leaderboard: a pure function from records to one table object."""

from .ranked import RankedBoard
from .table import Board, LossBoard

__all__ = ["Board", "LossBoard", "RankedBoard"]

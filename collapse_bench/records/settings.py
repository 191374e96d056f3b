"""The settings of a suite, as its file and the manifest of a run hold them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_GENERATIONS = 10**6  # a cell allows no more
MOST_ROWS = 2**53  # of one generation; larger whole numbers are not exact as floats
LONGEST = 4000  # characters of a spec, so that sentences that show it can be read
Spec = Annotated[str, Field(max_length=LONGEST)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskModel(_Strict):
    """One [[tasks]] table: a data generator and a model, under several protocols."""

    data: Spec
    model: Spec
    protocols: list[Spec] | None = None  # default: those of the suite
    mitigations: list[Spec] | None = None  # default: those of the suite
    n: int | None = Field(None, ge=1, le=MOST_ROWS)  # default: that of the suite
    generations: int | None = Field(None, ge=0, le=MOST_GENERATIONS)  # default: that of the suite
    growth: float = Field(0.0, ge=0, le=4)  # see ``Cell.growth``
    n0: int | None = Field(None, ge=1, le=MOST_ROWS)  # see ``Cell.n0``
    first: Spec | None = None  # a flawed first teacher; see ``Cell.first_teacher``
    signs: bool = False  # whether `run --signs` runs it at other numbers of rows and generations


class Calibration(_Strict):
    """One [[calibration]] table: what `suite calibrate` measured for a task."""

    task: Annotated[str, Field(max_length=5 * LONGEST)]
    floor: float = Field(ge=0, allow_inf_nan=False)  # r_k, in units of the loss
    # G_k, mean over chains of log(none + r) - log(nature + r)
    gap: float = Field(allow_inf_nan=False)
    # standard deviation of that difference over chains
    gap_sd: float = Field(ge=0, allow_inf_nan=False)
    # A_k and its standard deviation over chains: the mean of log(trivial + r) - log(none + r)
    harm: float = Field(ge=0, allow_inf_nan=False)
    harm_sd: float = Field(ge=0, allow_inf_nan=False)
    chains: int = Field(ge=2)
    # id of the cell without a mitigation, of a task that reads files
    cell: str | None = Field(default=None, max_length=LONGEST)


class SuiteModel(_Strict):
    """The whole of a suite file."""

    name: str = Field(pattern=r"^[A-Za-z][\w.-]*$", max_length=200)  # part of file names
    version: int = Field(1, ge=1)
    title: Spec = ""
    seeds: Spec = "0:32"
    generations: int = Field(10, ge=0, le=MOST_GENERATIONS)
    n: int = Field(100, ge=1, le=MOST_ROWS)
    protocols: list[Spec] = ["replace"]
    mitigations: list[Spec] = []
    focus: Spec | None = None  # the entry that is compared with all others, named before the run
    tasks: list[TaskModel] = []
    calibration: list[Calibration] = []


def lacks_harm(problem: ValidationError) -> bool:
    """Whether a calibration has no unit of harm: version 0.1 measured none."""
    return any(
        fault["type"] == "missing" and fault["loc"][-1:] == ("harm",) for fault in problem.errors()
    )

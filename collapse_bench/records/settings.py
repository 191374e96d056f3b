"""The settings of a suite, as its file and the manifest of a run hold them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskModel(_Strict):
    """One [[tasks]] table: a data generator and a model, under several protocols."""

    data: str
    model: str
    protocols: list[str] | None = None  # default: those of the suite
    mitigations: list[str] | None = None  # default: those of the suite
    n: int | None = Field(None, ge=1)  # default: that of the suite
    generations: int | None = Field(None, ge=0)  # default: that of the suite
    growth: float = Field(0.0, ge=0)  # see ``Cell.growth``
    first: str | None = None  # a flawed first teacher; see ``Cell.first_teacher``


class Calibration(_Strict):
    """One [[calibration]] table: what `suite calibrate` measured for a task."""

    task: str
    floor: float  # r_k, in units of the loss
    gap: float  # G_k, mean over chains of log(none + r) - log(nature + r)
    gap_sd: float  # standard deviation of that difference over chains
    chains: int
    cell: str | None = None  # id of the cell without a mitigation, of a task that reads files


class SuiteModel(_Strict):
    """The whole of a suite file."""

    name: str = Field(pattern=r"^[A-Za-z][\w.-]*$")
    version: int = Field(1, ge=1)
    title: str = ""
    seeds: str = "0:32"
    generations: int = Field(10, ge=0)
    n: int = Field(100, ge=1)
    protocols: list[str] = ["replace"]
    mitigations: list[str] = []
    focus: str | None = None  # the entry that is compared with all others, named before the run
    tasks: list[TaskModel] = []
    calibration: list[Calibration] = []

"""The board as JSON that other evaluation tools read: docs/interchange.md describes it.

Each evaluation follows the schema "Every Eval Ever", version 0.2.1
(https://github.com/evaleval/every_eval_ever, eval.schema.json): one record per evaluated thing,
with a score, its uncertainty and the data of every task.  Here the evaluated thing is a row of the
board.
"""

from __future__ import annotations

from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ...status import Status
from ..ranked import RankedBoard
from ..render import named_rows
from .model import Page

SCHEMA = "0.2.1"
VERSION = 1  # of the file around the evaluations


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SourceMetadata(_Strict):
    source_name: str
    source_type: Literal["documentation", "evaluation_run"]
    source_organization_name: str
    evaluator_relationship: Literal["first_party", "third_party", "collaborative", "other"]
    additional_details: dict[str, str]


class Library(_Strict):
    name: str
    version: str
    additional_details: dict[str, str]


class ModelInfo(_Strict):
    """The row: a mitigation, with the track on which it is."""

    name: str
    id: str
    additional_details: dict[str, str]


class SourceData(_Strict):
    """The task, whose data are drawn by the harness."""

    dataset_name: str
    source_type: Literal["other"] = "other"
    additional_details: dict[str, str]


class MetricConfig(_Strict):
    """S has no lower end below -1 but chance, and no upper end but what can be measured; the schema
    asks for both, so these are the ends that the scale is defined by."""

    evaluation_description: str
    lower_is_better: bool = False
    score_type: Literal["continuous"] = "continuous"
    min_score: float = -1.0
    max_score: float = 1.0


class StandardError(_Strict):
    value: float = Field(ge=0)
    method: str


class ConfidenceInterval(_Strict):
    lower: float
    upper: float
    confidence_level: float = Field(ge=0, le=1)
    method: str


class Uncertainty(_Strict):
    standard_error: StandardError | None = None
    confidence_interval: ConfidenceInterval | None = None
    num_samples: int | None = Field(None, ge=0)


class ScoreDetails(_Strict):
    score: float
    details: dict[str, str]
    uncertainty: Uncertainty | None = None


class Result(_Strict):
    evaluation_name: str
    source_data: SourceData
    metric_config: MetricConfig
    score_details: ScoreDetails


class Evaluation(_Strict):
    """One record of the schema "Every Eval Ever"."""

    schema_version: str
    evaluation_id: str
    evaluation_timestamp: str
    retrieved_timestamp: str
    source_metadata: SourceMetadata
    eval_library: Library
    model_info: ModelInfo
    evaluation_results: list[Result] = Field(min_length=1)


class Interchange(_Strict):
    """The whole file."""

    format: Literal["collapse-bench-board"]
    version: int
    suite: str
    notes: list[str]
    evaluations: list[Evaluation]


def interchange(board: RankedBoard, page: Page, epoch: float, version: str) -> Interchange:
    """The board as records of the schema; rows without a score are left out.

    epoch: when the file is written, in seconds.  version: of this package.
    """
    per_task = board.per_task()
    of_row = {str(entry): piece for entry, piece in per_task.groupby("entry")}
    frame = board.frame().set_index("entry")
    made = page.provenance.last
    library = Library(
        name="collapse-bench", version=version, additional_details=dict(page.versions)
    )
    source = SourceMetadata(
        source_name=page.title,
        source_type="evaluation_run",
        source_organization_name="collapse-bench",
        evaluator_relationship="other",
        additional_details={"chains": board.suite.seeds},
    )
    evaluations = []
    for row in page.rows:
        if row.score is None:
            continue
        about = next(named_rows(frame.loc[[row.name]]))
        overall = Result(
            evaluation_name=page.title,
            source_data=SourceData(
                dataset_name=page.title, additional_details={"coverage": f"{row.coverage:.4f}"}
            ),
            metric_config=MetricConfig(evaluation_description=_DESCRIPTION),
            score_details=ScoreDetails(
                score=row.score,
                details={
                    "tier": "" if row.tier is None else str(row.tier),
                    "ranked": str(row.ranked).lower(),
                    "real_rows": row.cells["real"],
                    "verifier_calls": row.cells["verifier"],
                },
                uncertainty=_uncertainty(about.se, about.chains, about.low, about.high),
            ),
        )
        tasks = [_of_task(one) for one in named_rows(of_row[row.name]) if _scored(one)]
        evaluations.append(
            Evaluation(
                schema_version=SCHEMA,
                evaluation_id=f"{page.title.replace(' ', '-')}/{row.anchor}/{epoch:.0f}",
                evaluation_timestamp=made,
                retrieved_timestamp=f"{epoch:.0f}",
                source_metadata=source,
                eval_library=library,
                model_info=ModelInfo(
                    name=row.name,
                    id=f"collapse-bench/{row.anchor.removeprefix('m-')}",
                    additional_details={"track": row.track, "kind": row.kind},
                ),
                evaluation_results=[overall, *tasks],
            )
        )
    return Interchange(
        format="collapse-bench-board",
        version=VERSION,
        suite=page.title,
        notes=[*page.legend, *page.notes],
        evaluations=evaluations,
    )


_DESCRIPTION = (
    "collapse averted: 1 is as good as the oracle teacher, 0 as no mitigation, -1 as a teacher "
    "that has read nothing; chance and better methods can pass both ends"
)


def _scored(row: object) -> bool:
    status, score = row.status, row.S_k  # type: ignore[attr-defined]
    return bool(status != Status.SKIPPED.value and not pd.isna(score))


def _of_task(row: object) -> Result:
    task, family, status = row.task, row.family, row.status  # type: ignore[attr-defined]
    score, se, chains = row.S_k, row.se, row.chains  # type: ignore[attr-defined]
    loss = row.loss  # type: ignore[attr-defined]
    return Result(
        evaluation_name=str(task),
        source_data=SourceData(dataset_name=str(task), additional_details={"family": str(family)}),
        metric_config=MetricConfig(evaluation_description=_DESCRIPTION),
        score_details=ScoreDetails(
            score=float(score),
            details={"status": str(status), "loss": "" if pd.isna(loss) else repr(float(loss))},
            uncertainty=_uncertainty(se, chains),
        ),
    )


def _uncertainty(
    se: float, chains: int, low: float | None = None, high: float | None = None
) -> Uncertainty:
    return Uncertainty(
        standard_error=None
        if pd.isna(se)
        else StandardError(value=float(se), method="over chains, paired by seed"),
        confidence_interval=None
        if low is None or high is None or pd.isna(low) or pd.isna(high)
        else ConfidenceInterval(
            lower=float(low),
            upper=float(high),
            confidence_level=0.95,
            method="Student, over chains",
        ),
        num_samples=int(chains),
    )

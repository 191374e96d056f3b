"""What is published is whole, of the present versions, and comes out again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from collapse_bench import run
from collapse_bench.api import RunRequest, load_suite
from collapse_bench.board.collect import board_of
from collapse_bench.board.words import report
from collapse_bench.records.agreement import disagreement
from collapse_bench.records.archive import SHIPPED, Archive, OverlayStore, shipped
from collapse_bench.scoring.weights import Weighting
from collapse_bench.suite.manifest import manifest_of
from collapse_bench.suite.plan import plan

LEADERBOARD = Path(__file__).parents[1] / "leaderboard"


@pytest.fixture(scope="module")
def archive():
    return Archive(shipped("standard"))


def test_every_cell_of_standard_is_published_in_its_present_version(archive, tmp_path):
    suite = load_suite(RunRequest("standard"), archive.tuning)
    steps = plan(suite, OverlayStore(tmp_path, archive), suite.seeds)
    lacking = [step.entry.cell.label for step in steps if step.todo]
    assert not lacking, "run the suite again and publish it"


def test_the_seal_of_what_is_published_is_part_of_the_package(archive):
    """After publishing again, put the new seal into ``SHIPPED``."""
    assert archive.seal == SHIPPED["standard"]


def test_what_is_published_agrees_with_the_manifest_of_its_suite(archive):
    suite = load_suite(RunRequest("standard"))
    manifest = manifest_of(suite, suite.seeds)
    entries = [entry for entry in manifest.entries if entry.skip is None]
    records = [(entry, archive.read(entry.id, 0)) for entry in entries]
    assert len(records) > 1000
    assert not [why for entry, r in records if (why := disagreement(manifest, entry, r))]


@pytest.mark.parametrize(
    "spec",
    [
        "zipf(K=1000) | counts | mix(real=0.1) | real-anchor @ n=1000 T=10",
        "gaussian | gaussian-fit | replace(decode=temperature(t=0.9)) | neon @ n=100 T=20",
        "linear(d=10, drift=0.01) | ols | mix(real=0.1) | tracking @ n=100 T=20",
        "half-space(d=50, inputs=isotropic) | least-squares | accumulate(real=0.1) | oracle-verify "
        "@ n=200 T=10",
    ],
)
def test_a_published_chain_comes_out_again(spec, archive, tmp_path):
    again = run(spec, seeds="0:32", output=tmp_path)
    entry = next(step.entry for step in again.steps if step.entry.role == "entry")
    there, now = archive.read(entry.cell.id, 0), again.store.read(entry.cell.id, 0)
    primary = there.facts.primary
    pick = [(r.metric == primary) for r in (there, now)]
    np.testing.assert_array_equal(there.seed[pick[0]], now.seed[pick[1]])
    np.testing.assert_allclose(now.value[pick[1]], there.value[pick[0]], rtol=1e-9)
    assert there.facts.ledger["real_unique"] == now.facts.ledger["real_unique"]


@pytest.mark.slow
def test_the_published_board_is_made_from_the_published_records(archive, tmp_path):
    suite = load_suite(RunRequest("standard"), archive.tuning)
    board = board_of(
        OverlayStore(tmp_path, archive),
        manifest_of(suite, suite.seeds),
        tuning=archive.tuning,
        signs=archive.signs,
    )
    assert report(board) + "\n" == (LEADERBOARD / "standard.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_published_risk_scores_follow_from_the_page(archive):
    """By the steps of docs/score.md, from the published file and the suite file."""
    suite = load_suite(RunRequest("standard"))
    about = manifest_of(suite, suite.seeds).tasks
    calibrated = {row.task: row for row in suite.model.calibration}
    losses: dict[tuple[str, str], dict[int, float]] = {}
    refused = {(entry.task, entry.name) for entry in suite.entries if entry.declined}
    for entry in suite.entries:
        if entry.role == "curve" or entry.skip is not None:
            continue
        record = archive.read(entry.cell.id, 0)
        rows = record.metric == about[entry.task].primary
        rows &= record.generation == entry.cell.generations
        if set(record.facts.status) != {"skipped"}:
            found = zip(record.seed[rows].tolist(), record.value[rows].tolist(), strict=True)
            losses[entry.task, entry.name] = dict(found)

    def mean(task: str, name: str) -> float:
        def base(loss: float) -> float:
            log_loss = about[task].log_loss
            return math.exp(loss) if log_loss else max(loss, 0) + calibrated[task].floor

        trivial = losses[task, "trivial"]
        own = losses[task, name]
        # a chain without a loss failed, and counts as trivial
        return float(np.mean([base(min(own.get(s, t), t)) for s, t in trivial.items()]))

    def risk(task: str, name: str) -> float:
        if (task, name) in refused:
            return 0.0
        none, nature = mean(task, "none"), mean(task, "nature")
        return math.log(none / mean(task, name)) / math.log(none / nature)

    tasks = [
        name
        for name, row in calibrated.items()
        if row.gap >= max(math.log(1.05), 5 * row.gap_sd / math.sqrt(len(suite.seeds)))
    ]
    assert len(tasks) > 30
    weights = Weighting([about[task].family for task in tasks], range(len(tasks)))
    head, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (LEADERBOARD / "standard.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    )
    place = head.index("risk score")
    published = {row[2]: row[place] for row in rows if len(row) == len(head)}
    everyone = {entry.name for entry in suite.entries if entry.role == "entry"}
    for name in everyone & set(published):
        fits = np.array([(t, name) in losses or (t, name) in refused for t in tasks])
        known = [risk(task, name) if fit else 0.0 for task, fit in zip(tasks, fits, strict=True)]
        value = float(weights.of(fits) @ np.array(known))
        assert published[name].rstrip(" !") == f"{value:+.2f}", name

"""Data that is edited between two runs of one process, or within one run."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from collapse_bench.api import RunRequest, cell_of, plan, results, run, run_plan
from collapse_bench.core.params import param
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.running.chains import run_chains
from collapse_bench.status import Status

WORDS = [
    "the",
    "owl",
    "saw",
    "a",
    "kite",
    "and",
    "ran",
    "to",
    "the",
    "hill",
    "where",
    "it",
    "sang",
    "of",
    "rain",
    "by",
    "the",
    "old",
    "mill",
]
TASKS = {
    "text": 'text(source="{}/book.txt", tokenizer=bytes, block=8, prompt=2, test=20, judged=4) '
    "| ngram @ n=20 T=1",
    "saved": 'text(source="{}/rows.jsonl", unit=row, tokenizer=words, vocab=20, block=6, prompt=1,'
    " test=20, judged=4) | ngram @ n=20 T=1",
    "idx": 'idx-images(path="{}") | random-features(width=5) @ n=20 T=1',
    "pictures": 'pictures(path="{}", test=12) | gaussian-fit @ n=20 T=1',
}


def write(folder, seed: int) -> None:
    """A text, rows and images in a folder, in the same files for every seed."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = [" ".join(rng.choice(WORDS[seed:], 6)) for _ in range(80)]
    (folder / "book.txt").write_text("\n".join(lines))
    (folder / "rows.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in lines))
    for half, n in (("train", 40), ("t10k", 30)):
        labels = rng.integers(0, 3, n)
        images = (rng.integers(0, 90, (n, 3, 3)) + 80 * (labels[:, None, None] % 2)) % 256
        for what, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
            packed = gzip.compress(head + values.astype(np.uint8).tobytes(), mtime=0)
            (folder / f"{half}-{what}-ubyte.gz").write_bytes(packed)


def values(results) -> list[float]:
    frame = results.frame()
    assert set(results.outcomes[0].statuses) == {"done"}
    return frame[frame.entry == "none"].value.tolist()


@pytest.mark.parametrize("task", TASKS)
def test_edited_data_are_read_again(task, tmp_path):
    """The numbers are those of the same data in a folder that was never read before."""
    place, other = tmp_path / "data", tmp_path / "other"
    write(place, 1)
    before = run(TASKS[task].format(place), seeds="0:2", output=tmp_path / "before")
    write(place, 2)
    write(other, 2)
    edited = run(TASKS[task].format(place), seeds="0:2", output=tmp_path / "edited")
    fresh = run(TASKS[task].format(other), seeds="0:2", output=tmp_path / "fresh")
    assert values(edited) == values(fresh) != values(before)
    ids = [r.steps[0].entry.cell.id for r in (before, edited, fresh)]
    assert ids[0] != ids[1] == ids[2]


@pytest.mark.parametrize("task", TASKS)
def test_data_that_change_before_they_are_read_are_refused(task, tmp_path):
    """Their chains are broken off with a sentence, not filed under the id of the older content."""
    write(tmp_path / "data", 3)
    cell = cell_of(TASKS[task].format(tmp_path / "data"))
    cell_id = cell.id
    write(tmp_path / "data", 4)
    facts = run_chains(cell, [0, 1]).facts
    assert (facts.id, set(facts.status)) == (cell_id, {Status.KILLED})
    (reason,) = set(facts.reason)
    assert reason.startswith(("data in", str(tmp_path)))
    assert reason.endswith("so run again")
    assert "\n" not in reason


def test_a_plan_names_the_file_that_changed(tmp_path):
    """And a stray file in the folder changes nothing."""
    write(tmp_path / "data", 1)
    request = RunRequest(
        [TASKS[name].format(tmp_path / "data") for name in ("text", "idx")],
        seeds="0:2",
        output=tmp_path / "out",
    )

    def reasons():
        steps = [step for step in plan(request).steps if step.entry.name == "none"]
        return [f"{step.verdict}: {step.why}" for step in steps]

    run_plan(plan(request))
    for stray in (".DS_Store", "README.md"):
        (tmp_path / "data" / stray).write_text("stray")
    assert {why.partition(":")[0] for why in reasons()} == {"reuse"}
    write(tmp_path / "data", 2)
    halves = [
        f"{h}-{what}-ubyte.gz" for h in ("t10k", "train") for what in ("images-idx3", "labels-idx1")
    ]
    assert reasons() == [
        f"stale: {tmp_path}/data/book.txt changed",
        f"stale: data in {tmp_path}/data changed: {', '.join(halves[:3])} and 1 more",
    ]
    board = results(tmp_path / "out").board()
    assert any(f"data in {tmp_path}/data changed: t10k" in note for note in board.notes)


@dataclass(frozen=True)
class Careless(Gaussian):
    """A plugin of somebody else: it reads a file without comparing."""

    path: Path | None = param(None, "a file with a number")

    def sample_truth(self, rng, nature=None):
        self.path.read_text()
        return super().sample_truth(rng, nature)


@pytest.mark.parametrize("edited", [False, True])
def test_the_files_of_other_plugins_are_compared_at_the_end(edited, tmp_path, monkeypatch):
    monkeypatch.setattr(Careless, "file_digests", {"careless.py": "0"})
    file = tmp_path / "number"
    file.write_text("1")
    cell = replace(cell_of("gaussian | gaussian-fit @ n=5 T=1"), data=Careless(path=file))
    assert cell.id
    if edited:
        file.write_text("2")
    status = set(run_chains(cell, [0]).facts.status)
    assert status == {Status.KILLED if edited else Status.DONE}


@pytest.mark.slow
def test_workers_refuse_data_that_changed_since_the_plan(tmp_path):
    write(tmp_path / "data", 3)
    request = RunRequest(
        [*(task.format(tmp_path / "data") for task in TASKS.values()), "zipf(K=5) | counts @ n=5"],
        seeds="0:2",
        output=tmp_path / "out",
        n_jobs=2,
    )
    planned = plan(request)
    write(tmp_path / "data", 4)
    for outcome in run_plan(planned).outcomes:
        reads = str(tmp_path) in outcome.job.cell.label
        assert set(outcome.statuses) == {"killed" if reads else "done"}, outcome.reason
    assert not run_plan(plan(request)).failed

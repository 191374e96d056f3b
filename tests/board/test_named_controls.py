"""Controls that a suite names: never ranked, each once."""

from __future__ import annotations

import pytest

from collapse_bench import api
from collapse_bench.records.manifest import Manifest
from collapse_bench.registry.discovery import registry
from collapse_bench.scoring.value import controls_of
from collapse_bench.suite.regenerated import differences

CONTROLS = (
    *("trivial", "frozen", "keep-first(a=0.5)", "keep-first(a=0.9)"),
    *("real-now", "real-only", "thinned"),
)
SUITE = f"""
name = "named"
seeds = "0:128"
n = 20
generations = 8
protocols = ["mix(real=0.2)"]
mitigations = {["noise-augmentation", "weight-averaging", *CONTROLS]}

[[tasks]]
data = "gaussian"
model = "gaussian-fit"

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
protocols = ["replace"]
mitigations = ["noise-augmentation", "weight-averaging"]
""".replace("'", '"')


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("named") / "named.toml"
    path.write_text(SUITE)
    api.calibrate(path)
    return path


@pytest.fixture(scope="module")
def results(file):
    return api.run(file, output=file.parent / "out")


def test_each_control_is_there_once_and_is_not_ranked(results):
    frame = results.board().frame()
    for name in (*CONTROLS, "none", "nature"):
        assert (frame.entry == name).sum() == 1
    rows = frame.set_index("entry")
    assert rows.control[list(CONTROLS)].all()
    assert not rows.ranked[list(CONTROLS)].any()
    assert rows.tier[list(CONTROLS)].isna().all()
    assert set(frame.entry[~frame.control]) == {"noise-augmentation", "weight-averaging"}


def test_controls_do_not_widen_the_range_of_tukey(results, file):
    """The tiers and p values of the entries are those of a board without named controls."""
    plain = file.with_name("plain.toml")
    text = (results.output / "named.suite.toml").read_text()
    for name in CONTROLS:
        text = text.replace(f', "{name}"', "")
    plain.write_text(text)
    bare = api.run(plain, output=results.output).board().frame().set_index("entry")
    # the manifest in the folder is now that of the plain suite; the run keeps its own
    named = results.board().frame().set_index("entry")
    entries = ["noise-augmentation", "weight-averaging"]
    for column in ("tier", "rank", "p_above", "S", "low", "high"):
        assert named[column][entries].equals(bare[column][entries])


def test_frozen_is_derived_where_a_task_does_not_name_it(results):
    tasks = results.board().per_task().set_index(["entry", "task"])
    names = sorted({task for _, task in tasks.index})
    assert len(names) == 2
    for task in names:
        assert tasks.loc[("frozen", task)].chains == 128
    losses = results.board().losses
    frozen = losses[losses.entry == "frozen"]
    assert not frozen.duplicated(["task", "seed"]).any()


def test_the_value_column_reads_the_named_controls(results):
    board = results.board()
    frame = board.frame().set_index("entry")
    assert frame.value_control["weight-averaging"] in {
        *("frozen", "keep-first(a=0.5)", "keep-first(a=0.9)")
    }
    pairs = [
        board.compare("weight-averaging", name).difference
        for name in controls_of("first", list(frame.index))
    ]
    assert len(pairs) == 3
    assert frame.value["weight-averaging"] == pytest.approx(min(pairs))


def test_the_control_real_only_and_the_learning_curve_are_told_apart(results):
    manifest = results.manifest
    assert isinstance(manifest, Manifest)
    places = {(e.role, e.rows) for e in manifest.entries if e.name == "real-only"}
    assert ("control", 20) in places
    assert ("curve", 20) in places
    assert not differences(manifest, registry())


def test_the_first_entry_that_is_no_control_is_compared(file):
    request = api.RunRequest(file, mitigations=["thinned(keep=0.7)", "neon"])
    assert api.load_suite(request).model.focus == "neon"
    alone = api.load_suite(api.RunRequest(file, mitigations=["thinned(keep=0.7)"]))
    assert alone.model.focus is None

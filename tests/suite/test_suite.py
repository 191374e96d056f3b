"""Suites: read and written without loss, expanded with all controls, calibrated in place."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collapse_bench import cell_of
from collapse_bench.api import RunRequest, calibrate, load_suite
from collapse_bench.errors import NothingMatched, Unreachable, UsageError
from collapse_bench.records.settings import Calibration, SuiteModel
from collapse_bench.records.store import Store
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.expand import adhoc, curve_sizes, expand
from collapse_bench.suite.manifest import manifest_of, save_run, saved_run
from collapse_bench.suite.model import (
    MARK,
    MOST_CHAINS,
    TaskModel,
    find_suite,
    parse_seeds,
    read_suite,
    to_toml,
    validated,
    with_calibration,
)


def suite_of(**keys):
    """An expanded suite of one Gaussian task, with these keys."""
    task = {"data": "gaussian(d=2)", "model": "gaussian-fit"}
    return expand(
        validated({"name": "own", "tasks": [task], "n": 8, "generations": 2, **keys}, "own"),
        registry(),
    )


def parts(suite, role: str) -> list[tuple[str, str]]:
    return [(entry.task, entry.name) for entry in suite.entries if entry.role == role]


# -- seeds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0:4", [0, 1, 2, 3]),
        ("7", [7]),
        ("0:2,10:12", [0, 1, 10, 11]),
        (" 3 , 1:3 ", [1, 2, 3]),
        ("5,5,4:6", [4, 5]),
        ("9223372036854775807", [2**63 - 1]),
        (f"0:{MOST_CHAINS}", list(range(MOST_CHAINS))),
    ],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        ":",
        "0:",
        ":4",
        "4:4",
        "4:1",
        "-1",
        "-1:3",
        "a",
        "1.5",
        "0:2,",
        "0:1:2",
        "0:2,5:5",
        "1e3",
    ],
)
def test_seeds_that_cannot_be_read(text):
    with pytest.raises(UsageError, match="cannot be read"):
        parse_seeds(text)


@pytest.mark.parametrize(
    "text",
    [f"0:{MOST_CHAINS + 1}", "0:99999999999999999999", str(2**63), f"0,{2**63 - 1}:{2**63 + 1}"],
)
def test_seeds_beyond_reason(text):
    with pytest.raises(UsageError, match="too many or too large"):
        parse_seeds(text)


# -- files ----------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.floats(0, allow_infinity=False)
TASKS = st.builds(
    TaskModel,
    data=TEXT,
    model=TEXT,
    protocols=st.none() | st.lists(TEXT, max_size=3),
    n=st.none() | st.integers(1, 10**6),
    generations=st.none() | st.integers(0, 10**3),
    growth=st.floats(0, 4),
    first=st.none() | TEXT,
)
ROWS = st.builds(
    Calibration,
    task=TEXT,
    floor=NUMBERS,
    gap=NUMBERS,
    gap_sd=NUMBERS,
    harm=NUMBERS,
    harm_sd=NUMBERS,
    chains=st.integers(2, 10**6),
)
UNITS = {"floor": 0.1, "gap": 1.0, "gap_sd": 0.5, "harm": 1.0, "harm_sd": 0.5, "chains": 256}
MODELS = st.builds(
    SuiteModel,
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,9}", fullmatch=True),
    version=st.integers(1, 99),
    title=TEXT,
    seeds=TEXT,
    generations=st.integers(0, 10**3),
    n=st.integers(1, 10**6),
    protocols=st.lists(TEXT, max_size=3),
    mitigations=st.lists(TEXT, max_size=3),
    focus=st.none() | TEXT,
    tasks=st.lists(TASKS, max_size=3),
    calibration=st.lists(ROWS, max_size=3),
)


@settings(max_examples=25)
@given(MODELS)
def test_a_suite_is_read_as_it_is_written(model):
    text = to_toml(model)
    assert validated(tomllib.loads(text), "round trip") == model
    assert to_toml(validated(tomllib.loads(text), "round trip")) == text


@settings(max_examples=25)
@given(MODELS, st.lists(ROWS, min_size=1, max_size=3))
def test_calibration_is_replaced_and_nothing_else(model, rows):
    text = f"# of one's own, in words\n{to_toml(model)}"
    once = with_calibration(text, rows)
    assert with_calibration(once, rows) == once
    assert with_calibration(with_calibration(once, rows[:1]), rows) == once
    assert validated(tomllib.loads(once), "calibrated") == model.model_copy(
        update={"calibration": rows}
    )
    assert once.startswith("# of one's own, in words\n")
    assert once.count(MARK) == 1


def test_every_shipped_suite_is_read_as_it_is_written():
    assert registry().suites
    for path in registry().suites:
        model = read_suite(path)
        assert validated(tomllib.loads(to_toml(model)), path.name) == model
        assert model.name == path.stem
        assert expand(model, registry(), path).entries


def test_find_suite(tmp_path):
    assert find_suite("smoke", registry()).name == "smoke.toml"
    (tmp_path / "own.toml").write_text('name = "own"')
    assert find_suite(str(tmp_path / "own.toml"), registry()) == tmp_path / "own.toml"
    with pytest.raises(UsageError, match=r"did you mean 'smoke'\?"):
        find_suite("smokey", registry())


# -- expansion ------------------------------------------------------------------------------------------------------


def test_every_task_gets_its_controls_and_its_curve():
    suite = suite_of(
        protocols=["replace", "mix(real=0.5)"],
        mitigations=["real-anchor(k=2)", "top-p", "distrust + real-anchor(k=1)"],
    )
    tasks = [
        f"gaussian(d=2) | gaussian-fit | {protocol} @ n=8 T=2" for protocol in ("replace", "mix")
    ]
    assert suite.tasks == tasks
    assert suite.methods == ["real-anchor(k=2)", "top-p", "distrust + real-anchor(k=1)"]
    assert parts(suite, "control") == [
        (task, name) for task in tasks for name in ("none", "nature", "trivial")
    ]
    assert set(parts(suite, "curve")) == {(task, "real-only") for task in tasks}
    for entry in suite.entries:
        assert entry.cell.task == entry.task or entry.role == "curve"
        assert (entry.cell.generations, entry.cell.n) == (2, 8) or entry.role == "curve"
        assert entry.role != "curve" or (entry.cell.generations, entry.cell.protocol.title()) == (
            0,
            "replace",
        )
        assert (entry.skip is None) == (entry.name != "top-p")
    skipped = next(entry for entry in suite.entries if entry.name == "top-p")
    assert skipped.skip == "top-p fits discrete and sequence data, and gaussian gives density data"


def test_a_cell_that_two_tasks_share_is_run_once():
    suite = suite_of(protocols=["replace", "accumulate", "mix"])
    ids = [entry.cell.id for entry in suite.run_list()]
    assert len(ids) == len(set(ids))
    assert len(parts(suite, "curve")) > len({e.cell.id for e in suite.entries if e.role == "curve"})


@pytest.mark.parametrize(
    "keys",
    [
        {"mitigations": ["temperature", "temperature(t=1.1)", "temperature"]},
        {"mitigations": ["temperature"], "protocols": ["replace", "replace"]},
        {
            "mitigations": ["temperature"],
            "tasks": 2 * [{"data": "gaussian(d=2)", "model": "gaussian-fit"}],
        },
    ],
    ids=["mitigation", "protocol", "task"],
)
def test_what_is_written_twice_counts_once(keys):
    """Under any of its spellings."""
    assert [e.cell.id for e in suite_of(**keys).entries] == [
        e.cell.id for e in suite_of(mitigations=["temperature"]).entries
    ]


def test_controls_that_are_named_as_entries_do_not_compete():
    assert suite_of(mitigations=["none", "nature", "distrust"]).methods == ["distrust"]


def test_a_task_has_its_own_settings():
    task = {
        "data": "linear(d=3)",
        "model": "ols",
        "protocols": ["accumulate"],
        "n": 20,
        "generations": 3,
        "growth": 0.5,
        "first": "linear(d=3, signal=2)",
    }
    (found,) = suite_of(tasks=[task]).tasks
    assert (
        found
        == cell_of(
            "linear(d=3) | ols | accumulate @ n=20 T=3 growth=0.5 first=linear(d=3, signal=2)"
        ).label
    )
    assert suite_of(tasks=[{**task, "generations": 0}]).entries[0].cell.generations == 0


def test_tasks_that_do_not_fit_are_skipped_with_a_reason():
    suite = suite_of(
        tasks=[{"data": "gaussian", "model": "ols"}, {"data": "zipf", "model": "counts"}],
        protocols=["replace", "verify-filter"],
    )
    assert suite.skipped_tasks == {
        "gaussian | ols | replace @ n=8 T=2": "ols fits regression data, and gaussian gives density data",
        "gaussian | ols | verify-filter @ n=8 T=2": "ols fits regression data, and gaussian gives density data",
        "zipf | counts | verify-filter @ n=8 T=2": "verify-filter needs answers that can be checked, and zipf has no verifier",
    }
    assert suite.tasks == ["zipf | counts | replace @ n=8 T=2"]


def test_a_suite_finds_its_data_where_the_environment_says(tmp_path, monkeypatch):
    """Real data lies elsewhere for every user; a task without its folder is skipped, and the others go on."""
    text = tmp_path / "idx" / "here"
    text.mkdir(parents=True)
    (text / "t").write_text("x")
    tasks = [
        {"data": "gaussian", "model": "gaussian-fit"},
        {"data": 'idx-images(path="$COLLAPSE_BENCH_DATA/idx")', "model": "random-features"},
    ]
    monkeypatch.delenv("COLLAPSE_BENCH_DATA", raising=False)
    suite = suite_of(tasks=tasks)
    assert suite.tasks == ["gaussian | gaussian-fit | replace @ n=8 T=2"]
    (reason,) = suite.skipped_tasks.values()
    assert "COLLAPSE_BENCH_DATA, which is not set" in reason
    monkeypatch.setenv("COLLAPSE_BENCH_DATA", str(tmp_path))
    with pytest.raises(
        UsageError, match=str(tmp_path / "idx")
    ):  # it is looked for there, and the files are none of that kind
        suite_of(tasks=tasks)


TEXT = 'text(source="{}", tokenizer=bytes, block=8, prompt=2, test=20, judged=4) | ngram @ n=8 T=1'


def _text(folder) -> Path:
    folder.mkdir(parents=True)
    (folder / "book.txt").write_text("the owl sang of rain by the old mill until night fell\n" * 20)
    return folder / "book.txt"


@pytest.mark.parametrize(
    "name", ["plain", 'a "quoted" one', "back\\slash", "comma, (bracket) | bar"]
)
def test_a_task_is_named_by_the_variable_and_not_by_the_folder(name, tmp_path, monkeypatch):
    data, model = TEXT.split(" @ ")[0].format("$COLLAPSE_BENCH_DATA/own/book.txt").split(" | ")
    labels, ids = set(), set()
    for user in ("one", "other"):
        root = tmp_path / user / name
        file = _text(root / "own")
        monkeypatch.setenv("COLLAPSE_BENCH_DATA", str(root))
        suite = suite_of(tasks=[{"data": data, "model": model, "n": 8, "generations": 1}])
        typed = adhoc(
            [TEXT.format(str(file).replace("\\", "\\\\").replace('"', '\\"'))], registry()
        )
        labels |= {*suite.tasks, *expand(typed, registry()).tasks}
        ids |= set(suite.task_ids.values())
    (label,) = labels
    assert 'source="$COLLAPSE_BENCH_DATA/own/book.txt"' in label
    assert len(ids) == 1
    assert registry().cell(label).id in ids
    monkeypatch.delenv("COLLAPSE_BENCH_DATA")
    with pytest.raises(Unreachable, match="COLLAPSE_BENCH_DATA, which is not set; set it"):
        registry().cell(label)


def test_a_calibration_belongs_to_the_content_of_the_files(tmp_path):
    """In another folder it holds; for an edited file it does not."""
    one, other = _text(tmp_path / "one"), _text(tmp_path / "other")

    def expanded(file, rows=()):
        model = adhoc([TEXT.format(file)], registry())
        return expand(model.model_copy(update={"calibration": list(rows)}), registry())

    suite = expanded(one)
    ((task, cell),) = suite.task_ids.items()
    row = Calibration(task=task, cell=cell, **UNITS)
    elsewhere = expanded(other, [row])
    assert [r.task for r in elsewhere.model.calibration] == elsewhere.tasks != [task]
    text = with_calibration("", elsewhere.model.calibration)
    assert f'cell = "{cell}"' in text
    assert "cell" not in with_calibration("", [row.model_copy(update={"cell": None})])

    save_run(expanded(one, [row]), [0], Store(tmp_path / "out").create())
    assert [r.task for r in saved_run(tmp_path / "out", None).suite.calibration] == [task]
    one.write_text(one.read_text() + "and the rest")
    assert expanded(one, [row]).model.calibration == []
    save_run(expanded(one), [0], Store(tmp_path / "out"))
    assert saved_run(tmp_path / "out", None).suite.calibration == []


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        ("gaussian | gaussian-fit @ n=100 T=0", [12, 25, 50, 100, 200]),
        ("gaussian | gaussian-fit @ n=100 T=10", [12, 25, 50, 100, 200, 400, 800, 1600]),
        ("gaussian | gaussian-fit | replace @ n=3 T=1", [2, 3, 6]),
        ("digits | random-features @ n=1000 T=4", None),
        ("linear | ols @ n=10 T=3 growth=2", None),
    ],
)
def test_curve_sizes(spec, sizes):
    """Octaves around n, up to all rows that the protocol could have shown, within the pool."""
    cell = cell_of(spec)
    found = curve_sizes(cell)
    assert sizes is None or found == sizes
    assert found == sorted(set(found))
    assert cell.n in found
    most = sum(cell.size(t) for t in range(cell.generations + 1))
    pool = cell.data.pool_size or float("inf")
    assert found[-1] >= min(most, pool)
    assert found[-1] <= min(2 * most, pool)
    assert found[0] >= 2


def test_a_curve_of_one_row():
    assert curve_sizes(cell_of("gaussian | gaussian-fit @ n=1 T=0")) == [
        2
    ]  # of one row nothing can be learnt
    assert curve_sizes(cell_of("gaussian | gaussian-fit @ n=1 T=3")) == [2, 4]


def test_typed_specs_become_a_suite():
    specs = [
        "gaussian(d=2) | gaussian-fit | replace | distrust @ n=8 T=2",
        "gaussian(d=2) | gaussian-fit | replace | real-anchor(k=1) @ n=8 T=2",
        "linear(d=3) | ols | mix(real=0.3) @ n=9 T=1 first=linear(d=3, signal=2) growth=0.5",
        "linear(d=3) | ols | replace | nature",
    ]
    model = adhoc(specs, registry()).model_copy(update={"seeds": "0:5"})
    suite = expand(model, registry())
    assert suite.seeds == list(range(5))
    assert suite.tasks == list(dict.fromkeys(cell_of(spec).task for spec in specs))
    assert suite.methods == ["distrust", "real-anchor(k=1)"]
    ids = {entry.cell.id for entry in suite.entries}
    assert {cell_of(spec).id for spec in specs} <= ids
    typed = {(cell_of(spec).task, cell_of(spec).entry) for spec in specs[:2]}
    assert {(e.task, e.name) for e in suite.entries if e.role == "entry"} == typed, (
        "what was not typed is not run"
    )


def test_a_further_entry_joins_every_typed_cell():
    specs = [
        "gaussian | gaussian-fit | replace | distrust @ n=8",
        "gaussian(d=2) | gaussian-fit @ n=8",
    ]
    for how, competing in (
        ({"mitigations": ["golden-ratio"]}, [["distrust", "golden-ratio"], ["golden-ratio"]]),
        ({"settings": {"mitigations": ["real-anchor(k=2)"]}}, [["real-anchor(k=2)"]] * 2),
        (
            {"mitigations": ["golden-ratio"], "settings": {"mitigations": ["real-anchor(k=2)"]}},
            [["real-anchor(k=2)", "golden-ratio"]] * 2,
        ),
    ):
        suite = load_suite(RunRequest(specs, **how))
        found = [
            [e.name for e in suite.entries if (e.role, e.task) == ("entry", task)]
            for task in suite.tasks
        ]
        assert found == competing, how


# -- what a run leaves ----------------------------------------------------------------------------------------------


def test_the_manifest_is_what_a_board_needs(tmp_path):
    suite = suite_of(mitigations=["distrust", "top-p"])
    save_run(suite, [0, 1], Store(tmp_path))
    manifest = saved_run(tmp_path, None)
    assert manifest == manifest_of(suite, [0, 1])
    assert manifest.seeds == (0, 1)
    assert {entry.id for entry in manifest.entries} == {entry.cell.id for entry in suite.entries}
    assert manifest.tasks[suite.tasks[0]].primary == "w2"
    assert read_suite(tmp_path / "own.suite.toml") == suite.model


def test_several_suites_in_one_folder(tmp_path):
    with pytest.raises(NothingMatched, match="holds no results"):
        saved_run(tmp_path, None)
    for name in ("one", "other"):
        save_run(suite_of(name=name), [0], Store(tmp_path))
    with pytest.raises(UsageError, match=r"several suites \(one, other\)"):
        saved_run(tmp_path, None)
    assert saved_run(tmp_path, "other").suite.name == "other"


def test_what_was_calibrated_beside_the_records_counts_while_the_suite_has_its_version(tmp_path):
    suite, store = suite_of(), Store(tmp_path)
    save_run(suite, [0], store)
    assert saved_run(tmp_path, None).suite.calibration == []
    row = Calibration(task=suite.tasks[0], **UNITS)
    path = tmp_path / "own.suite.toml"
    path.write_text(
        with_calibration(path.read_text(), [row, row.model_copy(update={"task": "another"})])
    )

    def calibration():
        return [row.task for row in saved_run(tmp_path, None).suite.calibration]

    assert suite.tasks[0] in calibration()
    save_run(suite, [0, 1], store)  # run again, with more seeds
    assert calibration() == suite.tasks
    own = row.model_copy(update={"gap": 2.0})
    save_run(
        replace(suite, model=suite.model.model_copy(update={"calibration": [own]})), [0], store
    )
    assert saved_run(tmp_path, None).suite.calibration == [own]  # the suite's own word counts
    save_run(suite_of(version=2), [0], store)
    assert calibration() == []
    path.write_text("no longer TOML =")
    assert calibration() == []


def test_every_task_has_the_controls_that_give_it_its_units():
    row = {"task": "gaussian(d=2) | gaussian-fit | replace @ n=8 T=2", **UNITS}
    for rows in ([], [row]):
        suite = suite_of(protocols=["replace"], calibration=rows)
        controls = {e.name for e in suite.entries if e.role == "control"}
        assert controls >= {"none", "nature", "trivial"}


def test_a_control_that_is_typed_is_run_next_to_the_curve_of_its_name():
    task = "gaussian | gaussian-fit | mix(real=0.2)"
    typed = adhoc(
        [f"{task} | {control} @ n=20 T=2" for control in ("real-only", "trivial", "nature")],
        registry(),
    )
    suite = expand(typed, registry())
    assert suite.methods == []  # a control does not compete
    rows = [(e.role, e.cell.n) for e in suite.entries if e.name == "real-only"]
    assert rows.count(("control", 20)) == rows.count(("curve", 20)) == 1
    for name in ("nature", "trivial"):
        assert [entry.role for entry in suite.entries if entry.name == name] == ["control"]


def test_a_task_whose_chains_never_end_with_a_loss_cannot_be_calibrated(tmp_path):
    """A mixture cannot be decoded at another temperature, so `none` has no loss there."""
    path = tmp_path / "mix.toml"
    path.write_text(
        'name = "mix"\nseeds = "0:4"\nn = 20\ngenerations = 2\n'
        'protocols = ["replace(decode=temperature(t=0.9))"]\n'
        '[[tasks]]\ndata = "gaussian-mixture"\nmodel = "mixture-fit"\n'
    )
    before = path.read_text()
    with pytest.raises(UsageError, match="cannot be calibrated: no chain of none ends with a loss"):
        calibrate(path)
    assert path.read_text() == before

"""The facts of a record and the manifest of a run: typed, frozen, and the same text after reading and writing."""

import dataclasses
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import collapse_bench
from collapse_bench.api import RunRequest, load_suite
from collapse_bench.errors import UsageError
from collapse_bench.records import archive
from collapse_bench.records.facts import CellFacts, Prediction, track_shown
from collapse_bench.records.manifest import Manifest
from collapse_bench.records.store import Store
from collapse_bench.status import BROKEN_OFF, FAILURES, FINISHED, Status
from collapse_bench.suite.manifest import manifest_of, save_run, saved_run

PUBLISHED = Path(collapse_bench.__file__).parent / "leaderboard" / "standard.parquet"


def same_text(one: dict, other: dict) -> bool:
    """As a digest sees it."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# -- facts ----------------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=5)
NUMBERS = st.none() | st.floats(allow_nan=False)


@st.composite
def facts(draw) -> dict:
    """The JSON of some facts, with keys that only other versions know."""
    chains = draw(st.integers(0, 4))

    def each(values):
        return st.lists(values, min_size=chains, max_size=chains)

    plain = {name: draw(TEXT) for name in ("id", "label", "task", "entry", "family", "primary")}
    plain |= {
        "schema": 1,
        "generations": draw(st.integers(0, 9)),
        "track": draw(st.sampled_from(["blind", "real", "provenance+real"])),
        "seeds": draw(each(st.integers(0, 31))),
        "status": draw(each(st.sampled_from([s.value for s in Status]))),
        "reason": draw(each(st.none() | TEXT)),
        "ledger": draw(st.dictionaries(TEXT, each(st.integers(0, 9)), max_size=3)),
        "verifiers": draw(st.lists(st.just(["oracle-verify", 1.0, 0.0, 7]), max_size=2)),
        "external": draw(st.lists(st.just(["service", 3]), max_size=2)),
        "theory": {"predicted": draw(st.none() | st.lists(NUMBERS, max_size=3))},
    }
    if draw(st.booleans()):
        plain["theory"] |= {name: draw(st.lists(NUMBERS)) for name in ("measured", "ratio", "z")}
    for name, some in (
        ("canonical", st.dictionaries(TEXT, st.none() | st.integers())),
        ("sources", st.dictionaries(TEXT, TEXT)),
        ("published", TEXT),
        ("from another version", st.none() | st.lists(st.integers())),
    ):
        if draw(st.booleans()):
            plain[name] = draw(some)
    return plain


@given(facts())
def test_facts_come_back_as_the_text_that_was_read(plain):
    assert same_text(CellFacts.from_json(plain).to_json(), plain)


def test_published_facts_come_back_as_the_text_that_was_read():
    about = archive._unpacked(pq.ParquetFile(PUBLISHED).metadata.metadata[archive._META])
    assert len(about["records"]) > 1000
    for record in about["records"]:
        assert same_text(CellFacts.from_json(record["facts"]).to_json(), record["facts"])


@given(facts(), st.data())
def test_facts_that_lack_something_or_know_another_status_are_refused(plain, data):
    name = data.draw(st.sampled_from(sorted(set(plain) - {*OPTIONAL, "from another version"})))
    with pytest.raises((KeyError, TypeError)):
        CellFacts.from_json({k: v for k, v in plain.items() if k != name})
    with pytest.raises(ValueError, match="sleeping"):
        CellFacts.from_json({**plain, "status": [*plain["status"], "sleeping"]})


OPTIONAL = ("canonical", "sources", "published")


@given(facts())
def test_facts_cut_and_joined_are_as_before(plain):
    assume(plain["seeds"])  # no chain has no track
    whole = CellFacts.from_json({**plain, "seeds": list(range(len(plain["seeds"])))})
    odd = [seed for seed in whole.seeds if seed % 2]
    rest = set(whole.seeds) - set(odd)
    joined = whole.only(rest).joined(whole.only(odd))
    assert whole.only(odd).joined(whole.only(rest)) == joined
    assert joined.track == track_shown(whole.ledger)
    derived = {name: getattr(joined, name) for name in ("track", "verifiers", "external")}
    assert joined == dataclasses.replace(whole, **derived)


def test_facts_and_predictions_are_frozen():
    for cls in (CellFacts, Prediction, Manifest):
        assert cls.__dataclass_params__.frozen


def test_every_ending_is_the_method_s_doing_or_the_machine_s_or_a_result():
    rest = {Status.DONE, Status.SKIPPED, Status.OVER_BUDGET}
    assert sorted([*FAILURES, *BROKEN_OFF, *rest]) == sorted(Status)
    assert not set(FINISHED) & set(BROKEN_OFF)  # what the machine broke off runs again


DAMAGED, FOREIGN = "is damaged", "is a file of another program or version"
FORGED = "contradicts itself and was not written by a run"

# -- manifests ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    request = RunRequest(
        ["gaussian | gaussian-fit @ n=8", "zipf | counts | accumulate @ n=20 T=3"],
        mitigations=["distrust", "temperature(t=0.9)"],
        budget="real=0.1",
    )
    suite = load_suite(request)
    return manifest_of(suite, [0, 1, 5])


def test_a_manifest_comes_back_as_it_was(manifest):
    assert Manifest.from_text(json.dumps(manifest.to_json())) == manifest
    beside = dataclasses.replace(manifest, published="there.parquet", left_out=("top-p",))
    assert Manifest.from_text(json.dumps(beside.to_json())) == beside


def test_a_manifest_of_version_0_1_is_read(manifest):
    plain = manifest.to_json()
    assert set(plain) == {
        *("schema", "suite", "seeds", "tasks", "skipped_tasks", "left_out", "entries", "files"),
        "budget",
    }
    # came later than the first manifests; so did limits
    del plain["left_out"], plain["files"], plain["budget"]
    for entry in plain["entries"]:
        del entry["limits"]
    entries = tuple(dataclasses.replace(entry, limits={}) for entry in manifest.entries)
    older = dataclasses.replace(manifest, entries=entries, budget=None)
    assert Manifest.from_text(json.dumps(plain)) == older


@pytest.mark.parametrize(
    ("spoil", "verdict", "words"),
    [
        (lambda plain: plain.pop("seeds"), DAMAGED, "seeds: "),
        (lambda plain: plain["entries"][0].pop("id"), DAMAGED, "entries.0.id: "),
        (lambda plain: plain["entries"][0].update(id="../elsewhere"), DAMAGED, "entries.0.id: "),
        (lambda plain: plain["entries"][0].update(rows="many"), DAMAGED, "entries.0.rows: "),
        (lambda plain: plain["entries"][0].update(rows=10**30), DAMAGED, "entries.0.rows: "),
        (lambda plain: plain["entries"][0].update(role="judge"), DAMAGED, "entries.0.role: "),
        (lambda plain: plain["suite"].update(n=0), DAMAGED, "suite.n: "),
        (lambda plain: plain.update(tasks=[]), DAMAGED, "tasks: "),
        (
            lambda plain: plain.update(schema=99),
            FOREIGN,
            "it has schema 99, and this version reads",
        ),
        (lambda plain: plain.pop("schema"), FOREIGN, "it is not the manifest of a run: it has no"),
        (lambda plain: plain.update(seeds=[1, 0]), FORGED, "its seeds are not in order"),
        (lambda plain: plain["suite"].update(name="other"), FORGED, "it is the manifest of suite"),
        (lambda plain: plain["suite"].update(tasks=[]), FORGED, "its suite has none of its tasks"),
        (lambda plain: plain.update(tasks={}), FORGED, "it has an entry of gaussian"),
        (lambda plain: plain["entries"].pop(0), FORGED, "it has no entry none for gaussian"),
        (
            lambda plain: plain["entries"].append(plain["entries"][0]),
            FORGED,
            "it has an entry twice",
        ),
        (lambda plain: plain["entries"][0].update(horizon=0), FORGED, "the entries of gaussian"),
        (lambda plain: plain["entries"][0].update(limits={"gold": 1}), FORGED, "it limits 'gold'"),
    ],
)
def test_a_manifest_that_is_none_is_refused_in_one_sentence(
    spoil, verdict, words, manifest, tmp_path
):
    suite = load_suite(RunRequest(["gaussian | gaussian-fit @ n=8"], seeds="0"))
    save_run(suite, [0], Store(tmp_path))
    path = tmp_path / f"{suite.name}.manifest.json"
    plain = json.loads(path.read_text())
    spoil(plain)
    path.write_text(json.dumps(plain))
    with pytest.raises(UsageError) as refused:
        saved_run(tmp_path, None)
    said = str(refused.value)
    assert said.startswith(f"{path} {verdict} ({words}")
    assert said.endswith("; run the suite again, which reuses all records")
    assert "\n" not in said

"""Three submissions and their merged board; one of them forged in five ways, each caught at its level."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import forge
import numpy as np
import pytest

from collapse_bench import api
from collapse_bench.errors import UsageError
from collapse_bench.isolation.audit import Limits
from collapse_bench.registry import discovery
from collapse_bench.submissions.merge import Conflict
from collapse_bench.submissions.submission import opened

HERE = Path(__file__).parent
SUITE = HERE / "small.toml"
KEEP_ALL = HERE.parents[1] / "leaderboard" / "submissions" / "keep_all.py"
KEY = "0" * 32  # the same sample in every run of this test


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """name -> an honest submission, and that of a method which knows the public seeds; the suite is
    installed."""
    folder = tmp_path_factory.mktemp("submissions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "_REGISTRY", None)  # what is loaded is not for other tests
        known = discovery.registry()
        known.suites = [*known.suites, SUITE]
        yield {
            name: forge.submitted(SUITE, file, name, track, folder)
            for name, file, track in (
                ("keep-all", KEEP_ALL, "blind"),
                ("anchor-three", HERE / "anchor_three.py", "real"),
                ("seeds", HERE / "seeds.py", "blind"),
            )
        }


def verified(path: Path, level: str = "fresh", cells: int = 2):
    return api.verify(path, level, cells=cells, key=KEY)


def levels(found) -> dict[str, bool]:
    return {level.name: level.passed for level in found.levels}


def test_an_honest_submission_passes_every_level(made, tmp_path):
    report = tmp_path / "verify.json"
    found = api.verify(made["keep-all"], "fresh", cells=2, key=KEY, report=report)
    assert levels(found) == {"declared": True, "re-scored": True, "re-run": True, "fresh": True}, (
        "\n".join(found.lines())
    )
    stored = json.loads(report.read_text())
    assert stored["reached"] == "fresh"
    again = next(level for level in stored["levels"] if level["level"] == "re-run")
    assert again["equal"] == again["chains"] > 0
    assert again["confidence"]["method"]["0.5"] == 1.0  # both of its two records were run
    assert stored["isolation"]
    assert found.lines()[-1] == "level reached: fresh"


def test_the_folder_of_a_submission_is_hidden_from_its_plugin(made, monkeypatch):
    folder, hidden = made["keep-all"].parent, []

    def limits(seconds, memory, places):
        hidden.extend(places)
        return Limits(seconds, memory, places)

    monkeypatch.setattr("collapse_bench.submissions.verify.Limits", limits)
    monkeypatch.chdir(folder.parent)  # a path that is relative to the working folder
    path = made["keep-all"].relative_to(folder.parent)
    assert verified(path, "re-run", cells=1).reached == "re-run"
    assert str(folder) in hidden
    assert all(Path(place).is_absolute() for place in hidden)


def test_a_claim_that_the_records_do_not_give_is_rescored(made, tmp_path):
    claim = {"S": 0.9, "low": 0.8, "high": 1.0, "coverage": 1.0}
    found = verified(forge.forged(made["keep-all"], tmp_path / "f.zip", claim=claim))
    assert levels(found) == {"declared": True, "re-scored": False}
    assert "it claims S +0.9" in found.levels[-1].faults[0]


def test_edited_losses_are_found_by_running_again(made, tmp_path):
    path = forge.forged(made["keep-all"], tmp_path / "f.zip", forge.better(0.7, "keep-all"))
    found = verified(path)
    assert levels(found) == {"declared": True, "re-scored": True, "re-run": False}
    assert "chains differ from what was run again" in found.levels[-1].faults[0]


def _without(name):
    return lambda members: members.pop(name)


def _text(name, old, new):
    def change(members):
        assert old in members[name]
        members[name] = members[name].replace(old, new, 1)

    return change


PARTS = {
    "one number": (forge.one_number, False, "records.parquet has the digest"),
    "one number, with its digest": (
        forge.one_number,
        True,
        "records.parquet is damaged (its seal does not match its content)",
    ),
    "no parquet": (
        lambda members: members.update({"records.parquet": b"PAR1 and nothing more"}),
        True,
        "records.parquet is",
    ),
    "the card": (_text("card.toml", b"A. Author", b"B. Author"), False, "card.toml has the digest"),
    "a card of wrong form": (
        _text("card.toml", b"licence", b"license"),
        True,
        "card.toml: unknown key 'license'",
    ),
    "the manifest": (
        _text("manifest.json", b'"role": "entry"', b'"role": "best"'),
        True,
        "manifest.json is damaged",
    ),
    "the source": (
        _text("plugin/keep_all.py", b"access.n,", b"2 * access.n,"),
        False,
        "plugin/keep_all.py has the digest",
    ),
    "no source": (_without("plugin/keep_all.py"), False, "plugin/keep_all.py is missing"),
    "no source, with digests": (
        _without("plugin/keep_all.py"),
        True,
        "the plugin file keep_all.py is missing",
    ),
    "a further file": (
        lambda members: members.update({"plugin/more.py": b""}),
        False,
        "submission.json has no digest of plugin/more.py",
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_changed_fails_the_level_declared(made, tmp_path, part):
    change, digests, words = PARTS[part]
    path = forge.with_members(made["keep-all"], tmp_path / "f.zip", change, digests)
    found = verified(path)
    assert levels(found) == {"declared": False}
    assert found.reached is None
    assert (found.mitigation, found.suite) == ("keep-all", "small")
    assert found.levels[0].faults[0].startswith(words)
    assert "collapse-bench-" not in "\n".join(found.lines())  # no path of a copy
    with pytest.raises(Conflict) as problem:
        api.merge([made["keep-all"], path], tmp_path / "merged")
    sentence = str(problem.value)
    assert sentence.startswith(f"submission {path} is not what it says: {words}")
    assert "'collapse-bench submit'" in sentence
    assert "publish" not in sentence
    assert "\n" not in sentence
    assert not (tmp_path / "merged").exists()


def test_all_parts_that_were_changed_are_named(made, tmp_path):
    def change(members):
        forge.one_number(members)
        members["card.toml"] += b"# more"

    path = forge.with_members(made["keep-all"], tmp_path / "f.zip", change, digests=False)
    faults = verified(path).levels[0].faults
    assert any(fault.startswith("records.parquet has") for fault in faults)
    assert any(fault.startswith("card.toml has") for fault in faults)


def test_a_submission_without_some_chains_is_not_merged(made, tmp_path):
    def fewer(record, entry):
        return record.restricted(record.seeds[:-1]) if entry.name == "keep-all" else record

    path = made["keep-all"]
    with opened(path) as old:
        claim = old.about.claim.model_dump()
    path = forge.forged(path, tmp_path / "f.zip", fewer, claim=claim)
    assert levels(verified(path)) == {"declared": False}
    with pytest.raises(Conflict) as problem:
        api.merge([path], tmp_path / "merged")
    assert str(problem.value).startswith(f"submission {path} is not what it says: keep-all on ")
    assert "collapse-bench-" not in str(problem.value)


def test_records_of_another_method_are_found_by_running_again(made, tmp_path):
    change = forge.of_other(made["seeds"], "keep-all")
    found = verified(forge.forged(made["keep-all"], tmp_path / "f.zip", change))
    assert levels(found) == {"declared": True, "re-scored": True, "re-run": False}


def test_source_that_is_not_what_ran_is_found_by_its_digest(made, tmp_path):
    other = KEEP_ALL.read_text().replace("access.n,", "2 * access.n,")
    path = forge.forged(made["keep-all"], tmp_path / "f.zip", files={"keep_all.py": other})
    found = verified(path)
    assert levels(found) == {"declared": False}
    assert "keep_all.py is not the code that made the records" in found.levels[0].faults[0]


def test_tasks_that_were_left_out_are_missed(made, tmp_path):
    def without(manifest):
        gone = list(manifest.tasks)[1]
        return replace(
            manifest,
            tasks={name: task for name, task in manifest.tasks.items() if name != gone},
            entries=tuple(entry for entry in manifest.entries if entry.task != gone),
        )

    found = verified(forge.forged(made["keep-all"], tmp_path / "f.zip", manifest=without))
    assert levels(found) == {"declared": False}
    assert any("of suite small is missing" in fault for fault in found.levels[0].faults)


def test_cells_that_are_said_not_to_fit_are_built_again(made, tmp_path):
    def skipped(manifest):
        gone = list(manifest.tasks)[1]
        entries = (
            replace(e, skip="it does not fit") if (e.task, e.name) == (gone, "keep-all") else e
            for e in manifest.entries
        )
        return replace(manifest, entries=tuple(entries))

    found = verified(forge.forged(made["keep-all"], tmp_path / "f.zip", manifest=skipped))
    assert levels(found)["declared"]
    assert not levels(found)["re-run"]
    assert "is said not to fit, and it fits" in found.levels[-1].faults[0]


def test_what_knows_the_public_seeds_falls_on_fresh_ones(made):
    found = verified(made["seeds"])
    assert levels(found) == {"declared": True, "re-scored": True, "re-run": True, "fresh": False}, (
        "\n".join(found.lines())
    )
    numbers = found.levels[-1].numbers
    assert numbers["claimed"] > 0.7  # its rows come from the truth, as those of nature do
    assert numbers["low"] > 0


# -- merging ------------------------------------------------------------------------------------------------------------


def test_a_merged_board_has_all_rows_and_needs_no_plugin(made, tmp_path, monkeypatch):
    three = [made["keep-all"], made["anchor-three"], made["seeds"]]
    api.merge(three, tmp_path / "merged")
    shutil.move(tmp_path / "merged", tmp_path / "moved")
    frame = api.results(tmp_path / "moved").board().frame().set_index("entry")
    assert {"keep-all", "anchor-three", "seeds", "none", "nature"} <= set(frame.index)
    for path in three:
        with opened(path) as submission:
            assert frame.S[submission.name] == pytest.approx(submission.about.claim.S, abs=1e-9)


def test_conflicts_are_named(made, tmp_path):
    edited = forge.forged(made["keep-all"], tmp_path / "f.zip", forge.better(0.7, "keep-all"))
    with pytest.raises(Conflict, match=r"differ on keep-all on .*: chain \d+ has"):
        api.merge([made["keep-all"], edited], tmp_path / "a")

    def other_code(record, entry):
        if entry.name != "keep-all":
            return record
        sources = {"mitigation keep-all": {"keep_all.py": "0" * 16}}
        return replace(record, facts=replace(record.facts, sources=sources))

    edited = forge.forged(made["keep-all"], tmp_path / "g.zip", other_code)
    with pytest.raises(Conflict, match="have the row keep-all with different code"):
        api.merge([made["keep-all"], edited], tmp_path / "b")

    def newer(manifest):
        return replace(manifest, suite=manifest.suite.model_copy(update={"version": 2}))

    edited = forge.forged(made["anchor-three"], tmp_path / "h.zip", manifest=newer)
    with pytest.raises(Conflict, match="have different settings of suite small: version"):
        api.merge([made["keep-all"], edited], tmp_path / "c")
    assert not any((tmp_path / name).exists() for name in "abc")


def test_a_file_that_is_no_submission_is_one_sentence(made, tmp_path):
    content = made["keep-all"].read_bytes()
    rng, told = np.random.default_rng(0), []
    for i in range(60):
        damaged = bytearray(content)
        place = int(rng.integers(len(damaged)))
        damaged[place] ^= 1 << int(rng.integers(8))
        file = tmp_path / f"{i}.zip"
        file.write_bytes(bytes(damaged[: place + 1]) if i % 3 == 0 else bytes(damaged))
        try:
            with opened(file) as submission:
                # a bit of the zip's own dates and comments may change; the content may not
                assert submission.about.mitigation == "keep-all"
        except UsageError as problem:
            told.append(str(problem))
    assert told
    assert not any("\n" in sentence for sentence in told)
    with pytest.raises(UsageError, match="is not there"), opened(tmp_path / "none.zip"):
        pass

"""One row is packed from runs with many: what remains is the run of that row, at every level."""

from __future__ import annotations

from pathlib import Path

import forge
import pytest
from forked import call

from collapse_bench import api
from collapse_bench.errors import UsageError
from collapse_bench.records.archive import Archive
from collapse_bench.registry import discovery
from collapse_bench.submissions.rows import row_of
from collapse_bench.submissions.submission import opened
from collapse_bench.suite.expand import expand, typed_among
from collapse_bench.suite.manifest import saved_run

SMALL = Path(__file__).with_name("small.toml")
KEY = "0" * 32
#: parameters that are the defaults of their methods, a control, a composition; and a list of a task
LISTS = (
    ("mitigations = []", 'mitigations = ["temperature(t=1.1)", "top-p(p=0.95)", '
     '"real-anchor(k=10)", "thinned(keep=0.5)", "distrust + real-anchor(k=10)"]'),
    ('model = "ridge(lam=0.1)"', 'model = "ridge(lam=0.1)"\n'
     'mitigations = ["real-anchor(k=10)", "adaptive-ridge", "thinned(keep=0.5)"]'),
    ('name = "small"', 'name = "many"'),
)  # fmt: skip
VOICE = '''"""Trust generation 0."""

from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl, param


@dataclass(frozen=True)
class Voice(Mitigation):
    share: float = param(0.3, "weight of generation 0", ge=0, le=1)

    tunings = ({"share": 0.8},)

    def steer(self, teacher, access):
        return teacher.blend(access.first or teacher, self.share)


@hookimpl
def collapse_mitigations():
    return {"voice": Voice}
'''


class Made:
    """The folder of the runs; ``submitted`` packs a row of one of them."""

    def __init__(self, folder: Path, suite: Path):
        self.folder, self.suite, self.file = folder, suite, folder / "voice.py"
        self.file.write_text(VOICE)

    def submitted(self, name: str, output: str, suite: str = "many", plugin: bool = True) -> Path:
        track = "first" if plugin else "real"
        card = self.folder / "card.toml"
        card.write_text(forge.CARD_TEXT.format(name=name, track=track))
        to = self.folder / f"{output} {suite} {name}.zip"
        file = self.file if plugin else None
        assert api.submit(self.folder / output, name, card, to, suite, file) == to
        return to


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    suite, text = folder / "many.toml", SMALL.read_text()
    for old, new in LISTS:
        assert text.count(old) == 1
        text = text.replace(old, new)
    suite.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "_REGISTRY", None)  # what is loaded is not for other tests
        known = discovery.registry()
        known.suites = [*known.suites, SMALL, suite]
        made = Made(folder, suite)
        forge.ran(suite, made.file, "voice(share=0.5)", folder / "both")
        forge.ran(SMALL, made.file, "voice(share=0.5)", folder / "both")
        request = {"mitigations": ["voice"], "plugins": [made.file], "tune": True}
        api.run(suite, output=folder / "tuned", **request)
        yield made


def passed(path: Path, level: str = "re-run", cells: int = 2):
    found = api.verify(path, level, cells=cells, key=KEY)
    assert found.reached == level, "\n".join(found.lines())
    return found


def test_a_row_among_specs_with_default_parameters_passes_every_level(made):
    path = made.submitted("voice(share=0.5)", "both")
    passed(path, "fresh")
    with opened(path) as submission:
        suite = submission.manifest.suite
    # methods of the suite are gone, and controls stay
    assert suite.mitigations == ["thinned", "voice(share=0.5)"]
    assert [task.mitigations for task in suite.tasks] == [
        None,
        ["thinned", "voice(share=0.5)"],
    ]


def test_a_row_of_one_of_several_suites_passes(made):
    passed(made.submitted("voice(share=0.5)", "both", "small"))


def test_several_suites_are_named_where_none_is_chosen(made):
    with pytest.raises(UsageError) as problem:
        api.submit(made.folder / "both", "voice(share=0.5)", plugin=made.file)
    assert "several suites (many, small); choose one with --suite" in str(problem.value)
    ended = call("submit", made.folder / "both", "--plugin", made.file)
    assert ended.code == 2
    assert "choose one with --suite" in ended.said


@pytest.mark.parametrize("name", ["voice", "voice(share=0.8)"])
def test_a_configuration_of_a_tuned_run_passes(made, name):
    passed(made.submitted(name, "tuned"))


def test_a_method_of_the_suite_passes(made):
    passed(made.submitted("real-anchor", "tuned", plugin=False))


def test_a_row_of_a_quick_run_passes(made):
    api.publish_run(made.folder / "both", made.folder / "published", "many")
    archive = made.folder / "published" / "many.parquet"
    assert len(Archive(archive)) > 0
    api.run(
        made.suite,
        mitigations="voice(share=0.7)",
        plugins=[made.file],
        quick=True,
        published=archive,
        output=made.folder / "quick",
    )
    passed(made.submitted("voice(share=0.7)", "quick"))


def test_a_packed_suite_has_the_entries_of_its_manifest(made):
    """Also of each method of the suite; the plugins are those that ran."""
    from collapse_bench.submissions.pack import only

    known = discovery.registry([made.file])
    for output in ("both", "tuned"):
        manifest = saved_run(made.folder / output, "many")
        names = {entry.name for entry in manifest.entries if entry.role == "entry"}
        assert {"temperature", "top-p", "real-anchor", "distrust + real-anchor"} <= names
        for name in names:
            part = only(manifest, name)
            rows = {entry.name for entry in part.entries}
            suite = expand(part.suite, known, typed=typed_among(part.suite, known, rows))
            assert [(e.task, e.name, e.role, e.cell.id) for e in suite.entries] == [
                (e.task, e.name, e.role, e.id) for e in part.entries
            ]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("m(k=3)", "m(k=3)"),
        ("m(k=10)", "m"),  # its default
        ("m( k = 3.0 )", "m(k=3)"),
        ("m(k=3, j=1)", "m(k=3)"),
        ("m(j=7)", "m"),
        ("m + n(inner=a(b=1))", "m + n(inner=a)"),
        ('n(inner="a")', "n(inner=a)"),
        ("n", None),
        ("m + m", None),
    ],
)
def test_the_row_of_a_spec_lacks_defaults(text, row):
    assert row_of(text, ["m", "m(k=3)", "m + n(inner=a)", "n(inner=a)"]) == row

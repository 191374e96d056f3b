"""What other code computed is stale, by whichever door the code came in and wherever in a cell it
takes part."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from collapse_bench import Mitigation, api, offer
from collapse_bench.api import RunRequest, plan, publish_run, results, run
from collapse_bench.core import identity
from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.records.store import Store
from collapse_bench.registry import digests, discovery
from collapse_bench.registry.digests import code_files, digests_of
from collapse_bench.running.jobs import Job
from collapse_bench.running.pool import _packed, _unpacked

CUT = '''"""{doc}"""

from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl
{imports}

@dataclass(frozen=True)
class Cut(Mitigation):
    def steer(self, teacher, access):
        return teacher.decoded(temperature={t})  # {doc}


@hookimpl
def collapse_mitigations():
    return {{"mycut": Cut}}
'''
WIDE = '''"""{doc}"""

from dataclasses import dataclass
from collapse_bench import hookimpl
from collapse_bench.plugins.generators.zipf import Zipf
{imports}

@dataclass(frozen=True)
class Wide(Zipf):
    def sample_truth(self, rng, nature=None):
        self = __import__("dataclasses").replace(self, beta={t})
        return super(Wide, self).sample_truth(rng, nature)


@hookimpl
def collapse_generators():
    return {{"wide": Wide}}
'''
HELPER = '"""{doc}"""\n\n\ndef setting():\n    """{doc}"""\n    return {t}  # {doc}\n'

NESTED = "zipf(K=30, read=mycut) | counts | replace | top-k(k=9) @ n=20 T=1"
FIRST = "zipf(K=30) | counts | replace | real-anchor(k=3) @ n=20 T=1 first=wide(K=30)"
DECODER = "zipf(K=30) | counts | replace(decode=mycut) | top-k(k=9) @ n=20 T=1"
PLAIN = "zipf(K=30) | counts | replace | mycut @ n=20 T=1"


@dataclass
class Door:
    """Where the code of a plugin lies, and how it comes in."""

    root: Path
    spec: str
    changes: str  # the file that is edited, as a plan names it
    by_file: bool = True
    helper: str | None = None
    installed: bool = True  # else as an editable install leaves it
    options: dict = field(default_factory=dict)

    def write(self, t: float, doc: str = "One.") -> None:
        plugin = WIDE if "wide" in self.spec else CUT
        imports = f"from {self.helper} import setting\n" if self.helper else ""
        text = plugin.format(t="setting()" if self.helper else t, doc=doc, imports=imports)
        folder = self.root if self.by_file else self.root / "tinydist"
        folder.mkdir(exist_ok=True)
        if not self.by_file:
            (folder / "__init__.py").write_text("")
            self._install()
        (folder / "mine.py").write_text(text)
        if self.helper:
            name = self.helper.rpartition(".")[2]
            (folder / f"{name}.py").write_text(HELPER.format(t=t, doc=doc))
        self.options = {"plugins": [folder / "mine.py"]} if self.by_file else {}

    def _install(self) -> None:
        about = self.root / "tinydist-1.0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: tinydist\nVersion: 1.0\nRequires-Dist: numpy\n"
        )
        (about / "entry_points.txt").write_text("[collapse_bench]\ntiny = tinydist.mine\n")
        if self.installed:
            files = ["tinydist/__init__.py", "tinydist/mine.py", "tinydist/_help.py"]
            (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))


DOORS = {
    "a file as the first teacher": (FIRST, "mine.py", {}),
    "a file nested in a parameter": (NESTED, "mine.py", {}),
    "a file as the decoder": (DECODER, "mine.py", {}),
    "a helper of a file": (NESTED, "helper_of_it", {"helper": "helper_of_it"}),
    "an installed module": (PLAIN, "tinydist.mine", {"by_file": False}),
    "an editable module": (FIRST, "tinydist.mine", {"by_file": False, "installed": False}),
    "a helper of an installed module": (
        NESTED,
        "tinydist._help",
        {"by_file": False, "helper": "tinydist._help"},
    ),
    "a helper of an editable module": (
        PLAIN,
        "tinydist._help",
        {"by_file": False, "helper": "tinydist._help", "installed": False},
    ),
}


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(discovery, "_REGISTRY", None)


@pytest.fixture(params=DOORS)
def door(request, tmp_path, monkeypatch):
    spec, changes, more = DOORS[request.param]
    monkeypatch.syspath_prepend(tmp_path)
    yield Door(tmp_path, spec, changes, **more)
    for name in [n for n in sys.modules if n.startswith(("tinydist", "helper_of_it"))]:
        del sys.modules[name]


def planned(door: Door, out: Path) -> dict[str, tuple[str, str]]:
    """Row -> (verdict, why), its own and that of the controls."""
    plugins = door.options.get("plugins", ())
    steps = plan(RunRequest(door.spec, seeds="0:3", output=out, plugins=plugins)).steps
    return {s.entry.name: (s.verdict, s.why) for s in steps if s.entry.role != "curve"}


def losses(found: api.Results) -> list[float]:
    return found.board().losses.query("status == 'done'").loss.tolist()


def test_edited_code_is_stale_by_every_door(door, tmp_path):
    out, row = tmp_path / "out", door.spec.split(" | ")[-1].split(" @")[0]
    door.write(0.5)
    before = losses(run(door.spec, seeds="0:3", output=out, **door.options))
    publish_run(out, tmp_path / "kept")

    door.write(0.5, doc="Two.")  # other docstrings and comments
    assert {verdict for verdict, _ in planned(door, out).values()} == {"reuse"}
    assert not any("older" in note for note in results(out).board().notes)

    door.write(2.5)
    verdict, why = planned(door, out)[row]
    plugin = "generator wide" if "wide" in door.spec else "mitigation mycut"
    assert (verdict, why) == ("stale", f"{door.changes} (code of {plugin}) has changed since")

    found = results(out)
    notes = " ".join(found.board().notes)
    assert f"are older: {door.changes} (code of {plugin}) has changed since" in notes
    assert "bring them up to date with: collapse-bench run" in notes
    assert losses(found) == before  # the old numbers, and they are said to be old
    with pytest.raises(UsageError, match=f"{door.changes} .code of {plugin}. has changed since"):
        publish_run(out, tmp_path / "other")
    _, board = publish_run(out, tmp_path / "other", force=True)
    assert "are older" in board.read_text()
    assert str(tmp_path) not in board.read_text()

    # in a quick run the published rows are of other code as well
    with pytest.raises(NothingMatched, match=f"{door.changes} .code of {plugin}. has changed"):
        run(
            door.spec,
            seeds="0:3",
            output=tmp_path / "quick",
            mitigations="hot",
            quick=True,
            published=next((tmp_path / "kept").glob("typed-*.parquet")),
            **door.options,
        )

    after = run(door.spec, seeds="0:3", output=out, **door.options)
    assert losses(after) != before
    assert not any("older" in note for note in after.board().notes)
    assert {verdict for verdict, _ in planned(door, out).values()} == {"reuse"}


def test_a_board_reads_the_code_of_a_file_that_is_not_loaded(tmp_path, monkeypatch):
    door = Door(tmp_path, NESTED, "mine.py")
    door.write(0.5)
    run(door.spec, seeds="0:3", output=tmp_path / "out", **door.options)
    monkeypatch.setattr(discovery, "_REGISTRY", None)
    assert not [n for n in results(tmp_path / "out").board().notes if "older" in n or "could" in n]
    door.write(2.5)
    assert any(
        "mine.py (code of mitigation mycut)" in n for n in results(tmp_path / "out").board().notes
    )
    (tmp_path / "mine.py").unlink()
    notes = results(tmp_path / "out").board().notes
    (doubt,) = [n for n in notes if "could not be compared with the installed plugins" in n]
    assert f"plugin file {tmp_path / 'mine.py'} is gone; put it back" in doubt


NAMESAKES = {
    "mitigation": """from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl

@dataclass(frozen=True)
class Mine(Mitigation):
    def steer(self, teacher, access):
        return teacher.decoded(temperature={t})

@hookimpl
def collapse_mitigations():
    return {{"mine": Mine}}
""",
    "protocol": """from dataclasses import dataclass
from collapse_bench import Protocol, hookimpl

@dataclass(frozen=True)
class Mine(Protocol):
    def compose(self, access, memory):
        return access.synthetic(access.n + round({t})), None

@hookimpl
def collapse_protocols():
    return {{"mine": Mine}}
""",
}


@pytest.mark.parametrize("file_names", [("mine.py", "mine.py"), ("one.py", "two.py")])
@pytest.mark.parametrize("edited", NAMESAKES)
def test_plugins_of_two_kinds_may_have_one_name(edited, file_names, tmp_path, monkeypatch):
    files = {}
    for kind, name in zip(NAMESAKES, file_names, strict=True):
        (tmp_path / kind).mkdir()
        files[kind] = tmp_path / kind / name
        files[kind].write_text(NAMESAKES[kind].format(t=0.5))
    spec, out, plugins = "gaussian | gaussian-fit | mine | mine @ n=20 T=1", tmp_path / "out", files
    found = run(spec, seeds="0:3", output=out, plugins=[*plugins.values()])
    reg = discovery.registry()
    assert reg.files() == {(kind, "mine"): str(file) for kind, file in files.items()}
    assert reg.digests().keys() == reg.files().keys()
    assert found.manifest.files == {f"{kind} mine": str(file) for kind, file in files.items()}
    assert f"--plugin {files['mitigation']} " in again(out, files[edited], edited)
    for loaded in ((), ("mitigation",), ("protocol",), tuple(files)):
        monkeypatch.setattr(discovery, "_REGISTRY", None)
        discovery.registry([files[kind] for kind in loaded])
        notes = [note for note in results(out).board().notes if "older" in note]
        assert len(notes) == 1, loaded
        name = files[edited].name
        assert f"are older: {name} (code of {edited} mine) has changed since" in notes[0]
    files[edited].write_text(NAMESAKES[edited].format(t=0.5))
    for loaded in ((), ("mitigation",), ("protocol",), tuple(files)):
        monkeypatch.setattr(discovery, "_REGISTRY", None)
        discovery.registry([files[kind] for kind in loaded])
        assert not [n for n in results(out).board().notes if "older" in n or "could" in n], loaded


def again(out: Path, file: Path, kind: str) -> str:
    """What the board says after an edit of the file."""
    file.write_text(NAMESAKES[kind].format(t=2.5))
    return " ".join(results(out).board().notes)


# -- classes that a script or a notebook offers ----------------------------------------------------

OFFERED = "gaussian | gaussian-fit | replace | mine @ n=20 T=2"


def verdict_of(out: Path, spec: str = OFFERED) -> str:
    found = run(spec, seeds="0:3", output=out)
    return {step.entry.name: step.verdict for step in found.steps}["mine"]


def test_a_class_offered_twice_with_another_body_is_stale(tmp_path):
    def offer_one():
        @dataclass(frozen=True)
        class Mine(Mitigation):
            def curate(self, corpus, access):
                return corpus + access.real(1)

        offer("mine", Mine)

    def offer_other():
        @dataclass(frozen=True)
        class Mine(Mitigation):
            def curate(self, corpus, access):
                return corpus + access.real(40)

        offer("mine", Mine)

    verdicts = []
    for offered in (offer_one, offer_one, offer_other, offer_other, offer_one):
        offered()
        verdicts.append(verdict_of(tmp_path))
    assert verdicts == ["run", "reuse", "stale", "reuse", "stale"]


def read_from_closure(k):
    @dataclass(frozen=True)
    class Mine(Mitigation):
        def curate(self, corpus, access):
            return corpus + access.real(k)

    return Mine


def read_from_a_function_around(k):
    inner = read_from_closure(k)

    @dataclass(frozen=True)
    class Mine(Mitigation):
        def curate(self, corpus, access):
            return inner().curate(corpus, access)

    return Mine


def set_in_the_body(k):
    @dataclass(frozen=True)
    class Mine(Mitigation):
        most = k

        def curate(self, corpus, access):
            return corpus + access.real(self.most)

    return Mine


def set_by_a_base(k):
    @dataclass(frozen=True)
    class Base(Mitigation):
        most = k

    @dataclass(frozen=True)
    class Mine(Base):
        def curate(self, corpus, access):
            return corpus + access.real(self.most)

    return Mine


def inherited_as_it_is(k):
    @dataclass(frozen=True)
    class Mine(read_from_closure(k)):
        pass

    return Mine


@pytest.mark.parametrize(
    "make",
    [
        read_from_closure,
        read_from_a_function_around,
        set_in_the_body,
        set_by_a_base,
        inherited_as_it_is,
    ],
)
def test_a_class_offered_twice_for_another_setting_is_stale(make, tmp_path):
    """One body in one file, which is made for two values."""
    verdicts = []
    for k in (1, 1, 40):
        offer("mine", make(k))
        verdicts.append(verdict_of(tmp_path))
    assert verdicts == ["run", "reuse", "stale"]


CELL = """
from dataclasses import dataclass
from collapse_bench import Mitigation

K = {k}

def more():
    "{doc}"
    return K * {factor}

@dataclass(frozen=True)
class Mine(Mitigation):
    "{doc}"
    def curate(self, corpus, access):
        return corpus + access.real(more())
"""


def execute(text: str, name: str) -> type:
    """What a notebook does with a cell: no file, and the source is kept in ``linecache`` where
    ``name`` is not empty."""
    space = {"__name__": "__main__"}
    file = f"<ipython-input-{name}>" if name else "<string>"
    if name:
        linecache.cache[file] = len(text), None, text.splitlines(True), file
    exec(compile(text, file, "exec"), space)
    return space["Mine"]


def test_what_a_notebook_offers_is_known_by_its_source(tmp_path, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    cells = [
        ({"k": 1, "factor": 2, "doc": "one"}, "run"),
        ({"k": 1, "factor": 2, "doc": "other"}, "reuse"),
        ({"k": 9, "factor": 2, "doc": "one"}, "stale"),
        ({"k": 9, "factor": 3, "doc": "one"}, "stale"),
        ({"k": 9, "factor": 3, "doc": "one"}, "reuse"),
    ]
    for i, (settings, verdict) in enumerate(cells):
        offer("mine", execute(CELL.format(**settings), str(i)))
        assert verdict_of(tmp_path) == verdict, settings


def test_what_has_no_source_is_stale_whenever_it_is_offered_again(tmp_path, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    verdicts = []
    for _ in range(2):
        offer("mine", execute(CELL.format(k=1, factor=2, doc="one"), ""))
        verdicts += [verdict_of(tmp_path), verdict_of(tmp_path)]
    assert verdicts == ["run", "reuse", "stale", "reuse"]


# -- versions --------------------------------------------------------------------------------------

SUITE = """name = "own"
seeds = "0:3"
generations = 1
n = 20
mitigations = ["hot", "top-k(k=9)"]
[[tasks]]
data = "zipf(K=30)"
model = "counts"
"""


def test_a_raised_version_is_said_by_every_door(tmp_path, monkeypatch):
    (tmp_path / "own.toml").write_text(SUITE)
    suite, out = str(tmp_path / "own.toml"), tmp_path / "out"
    run(suite, output=out)
    publish_run(out, tmp_path / "kept")
    cls = discovery.registry().classes["mitigation"]["top-k"]
    monkeypatch.setattr(cls, "version", 3)
    why = "top-k has version 3, these records version 1"

    steps = plan(RunRequest(suite, output=out)).steps
    assert {s.why for s in steps if s.verdict == "stale"} == {why}
    assert {s.entry.name for s in steps if s.verdict == "stale"} == {"top-k(k=9)"}
    notes = results(out).board().notes
    assert f"1 cell(s) of top-k(k=9) are older: {why}" in notes
    with pytest.raises(UsageError, match=why):
        publish_run(out, tmp_path / "other")
    quick = RunRequest(
        suite,
        mitigations="min-p",
        output=tmp_path / "quick",
        quick=True,
        published=tmp_path / "kept" / "own.parquet",
    )
    steps = plan(quick).steps
    assert {s.entry.name: s.why for s in steps if s.verdict == "left out"} == {"top-k(k=9)": why}

    run(suite, output=out)
    assert not any("older" in note for note in results(out).board().notes)


def test_a_raised_version_of_the_suites_own_numbers_makes_all_records_stale(tmp_path, monkeypatch):
    (tmp_path / "own.toml").write_text(SUITE)
    suite, out = str(tmp_path / "own.toml"), tmp_path / "out"
    run(suite, output=out)
    publish_run(out, tmp_path / "kept")
    monkeypatch.setattr(identity, "NUMERICS", 2)
    for module in ("core.cell", "running.facts", "suite.staleness"):
        monkeypatch.setattr(f"collapse_bench.{module}.NUMERICS", 2)
    why = "the suite's own numbers have version 2, these records version 1"
    kept = tmp_path / "kept" / "own.parquet"
    for request in (
        RunRequest(suite, output=out),
        RunRequest(suite, output=tmp_path / "new", published=kept),
    ):
        steps = plan(request).steps
        assert {(s.verdict, s.why) for s in steps} == {("stale", why)}
    assert any(why in note for note in results(out).board().notes)
    with pytest.raises(UsageError, match=why):
        publish_run(out, tmp_path / "other")


def test_compositions_that_version_0_1_computed_otherwise_are_stale(tmp_path):
    """It lost what the first mitigation asked of a fit; records of single methods stay valid."""
    (tmp_path / "own.toml").write_text(SUITE)
    suite, out = str(tmp_path / "own.toml"), tmp_path / "out"
    composed = "weight-averaging + autophagy-penalty"
    left = run(suite, output=out, mitigations=["neon", composed])
    assert set(left.board().frame().entry) >= {"none", "neon", composed}
    store = Store(out)
    for step in left.steps:  # as that version wrote them
        record = store.read(step.entry.cell.id, 0)
        assert record is not None
        old = replace(record.facts, numerics=None, sources=None)
        store.write(replace(record, facts=old), step.entry.cell)
    steps = plan(RunRequest(suite, output=out, mitigations=["neon", composed])).steps
    assert {s.entry.name for s in steps if s.verdict == "stale"} == {composed}


# -- two codes in one row --------------------------------------------------------------------------


def test_a_run_that_was_broken_off_after_an_edit_mixes_no_two_codes(tmp_path):
    class Stop(Exception):
        pass

    def stop(outcome):
        if "mycut" in outcome.job.cell.label:
            raise Stop

    door = Door(tmp_path, PLAIN, "mine.py")
    door.write(0.5)
    out = tmp_path / "out"
    run(door.spec, seeds="0:64", output=out, **door.options)
    before = results(out).board().losses.query("entry == 'mycut'").set_index("seed").loss
    door.write(2.5)
    with pytest.raises(Stop):
        run(door.spec, seeds="0:64", output=out, on_outcome=stop, **door.options)

    found = results(out)
    board = found.board()
    rows = board.losses.query("entry == 'mycut'").set_index("seed").loss.dropna()
    assert len(rows) == 32
    assert not rows.isin(before).any()  # those of the new code only
    frame = found.frame()
    assert frame[frame.entry == "mycut"].seed.nunique() == 32
    (note,) = [note for note in board.notes if "older code" in note]
    assert note.startswith("mycut on zipf(K=30) | counts | replace @ n=20 T=1: 32 chain(s)")
    with pytest.raises(NothingMatched, match="two versions of its code"):
        publish_run(out, tmp_path / "other", force=True)
    run(door.spec, seeds="0:64", output=out, **door.options)
    assert publish_run(out, tmp_path / "other")


# -- one process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("helper", [None, "helper_of_it"])
def test_an_edited_file_is_loaded_again_in_one_process(helper, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    door, numbers = Door(tmp_path, PLAIN, "mine.py", helper=helper), {}
    for t in (0.5, 2.5, 0.5):  # of equal length, and within one second
        door.write(t)
        found = losses(run(door.spec, seeds="0:3", output=tmp_path / f"{t}", **door.options))
        assert numbers.setdefault(t, found) == found
    assert numbers[0.5] != numbers[2.5]
    sys.modules.pop("helper_of_it", None)


def test_a_worker_that_finds_other_code_refuses(tmp_path):
    door = Door(tmp_path, NESTED, "mine.py")
    door.write(0.5)
    cell = discovery.registry(door.options["plugins"]).cell(NESTED)
    packed = _packed(Job(cell, (0,)))
    assert _unpacked(packed).cell == cell
    cls = type(cell.data.read)
    cls.file_digests = {"mine.py": "what a worker read that was started later"}
    with pytest.raises(UsageError, match=r"code of mycut was changed while it ran \(mine.py\)"):
        _unpacked(packed)


# -- the digest ------------------------------------------------------------------------------------


def digest_of(tmp_path: Path, text: str, **others: str) -> dict[str, str]:
    for name, content in {"plugin": text, **others}.items():
        (tmp_path / f"{name}.py").write_text(content)
    file = tmp_path / "plugin.py"
    return digests_of(code_files("plugin.py", file), "plugin.py")


SAME = [
    "def f(x):\n    return x + 1\n",
    '"""Of a module."""\n\n# a comment\ndef f(x):\n    """Of a function."""\n    return (x + 1)  # more\n',
    "def f(\n    x,\n):\n    'Text.'\n    return x+1",
]
OTHER = [
    "def f(x):\n    return x + 2\n",
    "def f(x):\n    return 'x'\n",
    "def f(y):\n    return y + 1\n",
    "def f(x=1):\n    return x + 1\n",
    "@staticmethod\ndef f(x):\n    return x + 1\n",
    "def f(x):\n    return x + 1.0\n",
    "def f(x):\n    return x + True\n",
    "def f(x):\n    'Text.'\n",
    "",
    "def f(",
]


def test_words_change_no_digest_and_code_does(tmp_path):
    same = [digest_of(tmp_path, text)["plugin.py"] for text in SAME]
    other = [digest_of(tmp_path, text)["plugin.py"] for text in OTHER]
    assert len(set(same)) == 1
    assert len({*same, *other}) == 1 + len(OTHER)


def test_imports_are_followed_to_what_is_ones_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "stale_pack"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("from .one import x\nfrom .. import top\n")
    (package / "deep" / "one.py").write_text("import stale_single\nx = 1\n")
    (package / "top.py").write_text(
        "def f():\n    from importlib import import_module\n    import_module('stale_late')\n"
    )
    (package / "unused.py").write_text("")
    text = (
        "import json, os.path, torch, numpy as np, sklearn.cluster, yaml_that_is_not_there\n"
        "from typing import TYPE_CHECKING\nfrom collapse_bench import Mitigation\n"
        "if TYPE_CHECKING:\n    import stale_typing\n"
        "import stale_pack.deep\n"
    )
    others = dict.fromkeys(("stale_single", "stale_late", "stale_typing"), "")
    assert set(digest_of(tmp_path, text, **others)) == {
        "plugin.py",
        "stale_pack",
        "stale_pack.deep",
        "stale_pack.deep.one",
        "stale_pack.top",
        "stale_single",
        "stale_late",
    }
    assert not [name for name in sys.modules if name.startswith("stale_")]  # nothing was run


def test_a_declared_distribution_is_not_followed(tmp_path, monkeypatch):
    """Its version is a matter of the environment; one that is not declared is code like one's own."""
    site = tmp_path / "site"
    for name, needs in (("staleone", "Requires-Dist: stale-two>=1"), ("stale-two", "")):
        module = name.replace("-", "")
        about = site / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}\n"
        )
        (about / "RECORD").write_text(f"{module}.py,,\n")
        (site / f"{module}.py").write_text("import staletwo\n" if needs else "")
    monkeypatch.syspath_prepend(site)
    digests._distributions.cache_clear()
    digests._declared.cache_clear()
    assert set(code_files("staleone", None, "staleone")) == {"staleone"}
    assert set(code_files("staleone")) == {"staleone", "staletwo"}
    digests._distributions.cache_clear()
    digests._declared.cache_clear()


def test_the_suites_own_plugins_have_no_digest():
    reg = discovery.registry(())
    assert reg.digests() == {}

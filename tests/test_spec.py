"""The spec is the name: text to tree and back, cell to label and back, and ids that follow values, not spelling."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from collapse_bench.core.cell import MOST_ROWS, Cell
from collapse_bench.core.components import Component, Mitigation
from collapse_bench.core.identity import SCHEMA, fingerprint, written
from collapse_bench.core.params import param, type_hints
from collapse_bench.errors import UsageError
from collapse_bench.files import digest
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.plugins.protocols.standard import Mix, Replace
from collapse_bench.registry.discovery import KINDS, Registry, registry
from collapse_bench.spec import (
    Call,
    CellSpec,
    is_word,
    parse_call,
    parse_cell,
    parse_mitigations,
    show,
)

REGISTRY = registry()

# -- trees ----------------------------------------------------------------------------------------------------------


def keyed(inner):
    """Pairs of different keys and their values."""
    return st.dictionaries(words, inner, max_size=3).map(lambda d: tuple(d.items()))


words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,7}", fullmatch=True).filter(is_word)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | words.map(Call)
)
calls = st.deferred(lambda: st.builds(Call, words, arguments))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.builds(Call, words, keyed(inner)),
    max_leaves=6,
)
arguments = st.deferred(lambda: keyed(values))
trees = st.builds(CellSpec, calls, calls, calls, st.lists(calls, max_size=3).map(tuple), arguments)


def exact(value):
    """Types told apart where Python would call them equal: true and 1."""
    if isinstance(value, Call):
        return ("call", value.name, tuple((key, exact(v)) for key, v in value.args))
    if isinstance(value, tuple):
        return tuple(map(exact, value))
    return ("bool", value) if isinstance(value, bool) else value


@given(trees)
def test_tree_to_text_and_back(tree):
    back = parse_cell(str(tree))
    assert back == tree
    assert str(back) == str(tree)
    for mine, theirs in zip(
        (back.data, back.model, back.protocol), (tree.data, tree.model, tree.protocol), strict=True
    ):
        assert exact(mine) == exact(theirs)


@given(calls)
def test_call_to_text_and_back(call):
    assert exact(parse_call(str(call))) == exact(call)


@given(st.lists(calls, min_size=1, max_size=4).map(tuple))
def test_order_of_a_composition_is_kept(acts):
    assert parse_mitigations(" + ".join(map(str, acts))) == acts
    assert [c.name for c in parse_cell("d | m | p | " + "+".join(map(str, acts))).mitigations] == [
        c.name for c in acts
    ]


@given(trees, st.data())
def test_white_space_says_nothing(tree, data):
    """Between any two marks there may be as much of it as one likes; strings are left alone."""
    text, out, quoted = str(tree), [], False
    for i, letter in enumerate(text):
        if letter == '"' and (len(text[:i]) - len(text[:i].rstrip("\\"))) % 2 == 0:
            quoted = not quoted
        out.append(letter if quoted or letter not in "|()@,[]" else f" {letter}\n\t ")
    assert parse_cell("  " + "".join(out) + "\n") == tree


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (0.1, "0.1"),
        (1e-9, "1e-09"),
        (True, "true"),
        (None, "null"),
        ("a b", '"a b"'),
        ((1, "x"), '[1, "x"]'),
    ],
)
def test_how_values_are_written(value, text):
    assert show(value) == text


def test_what_is_left_out():
    spec = parse_cell("gaussian | gaussian-fit")
    assert spec.protocol == Call("replace")
    assert spec.mitigations == spec.settings == ()
    assert str(spec) == "gaussian | gaussian-fit | replace"


def test_the_example_of_the_manual():
    text = "linear(d=20) | ridge(lam=0.1) | mix(real=0.1) | token-edit(p=0.99) + truncated-ce @ n=100 T=10"
    spec = parse_cell(text)
    assert str(spec) == text
    assert spec.mitigations == (Call("token-edit", (("p", 0.99),)), Call("truncated-ce"))
    assert dict(spec.settings) == {"n": 100, "T": 10}


# -- cells ----------------------------------------------------------------------------------------------------------


def values_of(cls: type[Component], f: dataclasses.Field):
    """Values that a parameter may take; None where only its default can be written."""
    hint, limits = type_hints(cls)[f.name], f.metadata
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if limits.get("choices"):
        return st.sampled_from(limits["choices"])
    if hint is bool:
        return st.booleans()
    if hint is int:
        low = limits.get("ge") if limits.get("ge") is not None else 0
        high = limits.get("le") if limits.get("le") is not None else low + 1000
        return st.integers(low, high)
    if hint is float:
        bounds = {
            "min_value": limits.get("ge") if limits.get("ge") is not None else limits.get("gt"),
            "max_value": limits.get("le") if limits.get("le") is not None else limits.get("lt"),
            "exclude_min": limits.get("gt") is not None,
            "exclude_max": limits.get("lt") is not None,
        }
        return st.floats(allow_nan=False, allow_infinity=False, **bounds)
    if hint in (str, str | None):
        return st.text(max_size=6)
    return None


@st.composite
def nouns(draw, kind: str, but: tuple[str, ...] = ()):
    """A registered plugin of a kind at any parameters in range."""
    offered = {
        name: cls
        for name, cls in REGISTRY.classes[kind].items()
        if name not in but and buildable(cls)
    }
    cls = offered[draw(st.sampled_from(sorted(offered)))]
    choices = {f.name: values_of(cls, f) for f in dataclasses.fields(cls)}
    given_ = {
        name: draw(choice)
        for name, choice in choices.items()
        if choice is not None and draw(st.booleans())
    }
    try:
        return cls(**given_)
    except UsageError:  # parameters may forbid each other
        return cls()


def buildable(cls: type[Component]) -> bool:
    """Whether its defaults suffice: some need a file."""
    try:
        cls()
    except (TypeError, UsageError):
        return False
    return True


@st.composite
def cells(draw):
    n, T = draw(st.integers(1, 10**6)), draw(st.integers(0, 1000))
    growth = draw(st.just(0.0) | st.floats(0, 4))
    assume(n * (T + 1) ** growth <= MOST_ROWS)
    acts = draw(st.lists(nouns("mitigation", but=("nature", "trivial")), max_size=3))
    return Cell(
        draw(nouns("generator")),
        draw(nouns("model")),
        draw(nouns("protocol")),
        tuple(acts),
        n=n,
        generations=T,
        growth=growth,
        first_teacher=draw(st.none() | nouns("generator")),
    )


@settings(max_examples=150)
@given(cells())
def test_cell_to_label_and_back(cell):
    back = REGISTRY.cell(cell.label)
    assert back == cell
    assert back.label == cell.label
    assert back.id == cell.id


@settings(max_examples=150)
@given(cells())
def test_defaults_are_left_out_of_labels_and_counted_in_ids(cell):
    assert f"n={cell.n} T={cell.generations}" in cell.label
    for part in (cell.data, cell.model, cell.protocol, *cell.mitigations):
        assert {key for key, _ in written(part).args} == {
            f.name for f in dataclasses.fields(part) if getattr(part, f.name) != f.default
        }
        assert set(fingerprint(part)["params"]) == {
            f.name
            for f in dataclasses.fields(part)
            if not f.metadata.get("later") or getattr(part, f.name) != f.default
        }


def one_other(noun: Component, f: dataclasses.Field):
    """The plugin with one parameter changed, or None where no other value can be had."""
    now = getattr(noun, f.name)
    nudges = [not now] if isinstance(now, bool) else []
    if isinstance(now, (int, float)) and not isinstance(now, bool):
        nudges += [now + 1, now - 1, now / 2, now * 0.99, 0.5]
    nudges += [*typing.get_args(type_hints(type(noun))[f.name]), *(f.metadata.get("choices") or ())]
    for value in nudges:
        try:
            if value != now and type(value) is type(now):
                return dataclasses.replace(noun, **{f.name: value})
        except UsageError:
            continue
    return None


CHANGES = [
    pytest.param(kind, cls, f, id=f"{name}.{f.name}")
    for kind in KINDS
    for name, cls in REGISTRY.classes[kind].items()
    if buildable(cls)
    for f in dataclasses.fields(cls)
    if one_other(cls(), f) is not None
]


@pytest.mark.parametrize(("kind", "cls", "f"), CHANGES)
def test_every_parameter_changes_the_id(kind, cls, f):
    role = {
        "generator": "data",
        "model": "model",
        "protocol": "protocol",
        "mitigation": "mitigations",
    }[kind]
    plain, other = (
        Cell(
            **{"data": Gaussian(), "model": GaussianFit(), "protocol": Replace()}
            | {role: (noun,) if kind == "mitigation" else noun}
        )
        for noun in (cls(), one_other(cls(), f))
    )
    assert plain.id != other.id
    assert plain.label != other.label


def cell_of(text: str, **more) -> Cell:
    return REGISTRY.cell(text, **more)


@pytest.mark.parametrize(
    "text",
    [
        "gaussian(d=3) | gaussian-fit | mix(real=0.25) @ n=100 T=10",
        "gaussian(d=2) | gaussian-fit(ddof=0) | mix(real=0.25) @ n=100 T=10",
        "gaussian(d=2) | gaussian-fit | mix(real=0.26) @ n=100 T=10",
        "gaussian(d=2) | gaussian-fit | replace @ n=100 T=10",
        "gaussian(d=2) | gaussian-fit | mix(real=0.25) | temperature @ n=100 T=10",
        "gaussian(d=2) | gaussian-fit | mix(real=0.25) | nature @ n=100 T=10",
        "gaussian(d=2) | gaussian-fit | mix(real=0.25, decode=temperature(t=0.9)) @ n=100 T=10",
        "gaussian(d=2) | gaussian-fit | mix(real=0.25) @ n=101 T=10",
        "gaussian(d=2) | gaussian-fit | mix(real=0.25) @ n=100 T=11",
        "gaussian(d=2) | gaussian-fit | mix(real=0.25) @ n=100 T=10 growth=0.5",
        "gaussian(d=2) | gaussian-fit | mix(real=0.25) @ n=100 T=10 first=gaussian(d=2, sigma=2)",
    ],
)
def test_another_cell_has_another_id(text):
    assert (
        cell_of(text).id != cell_of("gaussian(d=2) | gaussian-fit | mix(real=0.25) @ n=100 T=10").id
    )


def test_order_of_mitigations_is_part_of_the_id():
    a, b = (
        cell_of(f"zipf | counts | replace | {acts}")
        for acts in ("temperature + top-p", "top-p + temperature")
    )
    assert a.id != b.id
    assert a.entry == "temperature + top-p"
    assert [name for name, _ in cell_of("zipf | counts | replace | top-p + top-p").acts] == [
        "top-p",
        "top-p#2",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gaussian(sigma=0.1)", "gaussian(sigma=0.10)"),
        ("gaussian(sigma=0.1)", "gaussian( sigma = 1e-1 )"),
        ("gaussian(sigma=2)", "gaussian(sigma=2.0)"),
        ("gaussian(d=2)", "gaussian(d=2.0)"),
        ("gaussian", "gaussian()"),
        ("gaussian", "gaussian(d=1, sigma=1)"),
        ("gaussian(beta=0)", "gaussian(beta=-0.0)"),
        ("gaussian(d=2, sigma=3)", "gaussian(sigma=3, d=2)"),
        ("gaussian(truth_is=fixed)", 'gaussian(truth_is="fixed")'),
    ],
)
def test_spelling_changes_nothing(one, other):
    a, b = (cell_of(f"{text} | gaussian-fit @ n=10 T=3") for text in (one, other))
    assert a == b
    assert (a.id, a.label) == (b.id, b.label)


def test_python_and_spec_name_the_same_cell():
    typed = Cell(Gaussian(d=2, sigma=2), GaussianFit(), Mix(real=1), n=10, generations=3, growth=1)
    read = cell_of("gaussian(d=2, sigma=2.0) | gaussian-fit | mix(real=1.0) @ n=10 T=3 growth=1")
    assert (typed.id, typed.label) == (read.id, read.label)


def test_what_the_id_leaves_out():
    text = "gaussian | gaussian-fit"
    assert cell_of(text, seeds=tuple(range(64)), device="cuda").id == cell_of(text).id
    assert cell_of(text + " | replace | none").id == cell_of(text).id
    assert cell_of(text + " | replace | none").task == cell_of(text).task


def test_a_version_raised_is_another_id(monkeypatch):
    before = cell_of("gaussian | gaussian-fit").id
    monkeypatch.setattr(GaussianFit, "version", GaussianFit.version + 1)
    assert cell_of("gaussian | gaussian-fit").id != before


def test_the_id_is_a_digest_of_plain_values():
    """Spelt out once, so that a change of the recipe is a decision: every stored record would become stale."""
    canonical = cell_of("gaussian(d=2) | gaussian-fit | mix(real=0.1) @ n=50 T=5").canonical
    assert json.loads(json.dumps(canonical)) == {
        "schema": SCHEMA,
        "data": {
            "name": "gaussian",
            "version": Gaussian.version,
            "params": {
                "sampler": "explicit",
                "d": 2,
                "sigma": 1.0,
                "beta": 0.0,
                "truth_is": "drawn",
            },
        },
        "model": {
            "name": "gaussian-fit",
            "version": GaussianFit.version,
            "params": {"ddof": 1, "sigma": None},
        },
        "protocol": {
            "name": "mix",
            "version": Mix.version,
            "params": {"decode": None, "real": 0.1, "fresh": True},
        },
        "mitigations": [],
        "n": 50,
        "T": 5,
        "growth": 0.0,
        "first": None,
    }


# -- values of every type -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Everything(Mitigation):
    """One parameter of every type that a spec can express."""

    path: Path | None = param(None, "a file")
    words: tuple[str, ...] = param((), "words")
    numbers: tuple[float, ...] = param((), "numbers")
    inner: Mitigation | None = param(None, "another mitigation")
    maybe: float | None = param(None, "a number or nothing", gt=0)
    text: str = param("x", "any text")
    whole: int = param(3, "a whole number", ge=0)
    switch: bool = param(False, "on or off")
    mode: typing.Literal["a", "b", 3] = param("a", "one of several")


@pytest.fixture
def everything() -> Registry:
    found = Registry()
    for kind in KINDS:
        found.classes[kind] |= REGISTRY.classes[kind]
    Everything.name = "everything"
    found.classes["mitigation"]["everything"] = Everything
    return found


@given(
    st.text(max_size=5),
    st.lists(st.text(max_size=4)),
    st.lists(st.floats(-1e9, 1e9)),
    st.none() | st.floats(0.1, 9),
)
@example("true", ["null", "a b"], [], None)
def test_every_type_is_read_as_it_is_written(text, words, numbers, maybe):
    found = Registry()
    Everything.name = "everything"
    found.classes["mitigation"]["everything"] = Everything
    noun = Everything(
        path=Path(text) if text else None,
        words=tuple(words),
        numbers=tuple(numbers),
        inner=Everything(text=text, switch=True, mode=3),
        maybe=maybe,
    )
    assert found.build("mitigation", str(written(noun))) == noun


def test_files_are_known_by_their_content(everything, tmp_path):
    def id_of(path):
        return everything.cell(f'gaussian | gaussian-fit | replace | everything(path="{path}")').id

    for name, content in (("a.txt", "real"), ("b.txt", "real"), ("c.txt", "other")):
        (tmp_path / name).write_text(content)
    assert id_of(tmp_path / "a.txt") == id_of(tmp_path / "b.txt") != id_of(tmp_path / "c.txt")
    with pytest.raises(UsageError, match="is missing or empty"):
        id_of(tmp_path / "d.txt")


def test_folders_are_known_by_names_and_contents(tmp_path):
    for folder, name in (("one", "x"), ("two", "x"), ("three", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("same")
    assert digest(tmp_path / "one") == digest(tmp_path / "two") != digest(tmp_path / "three")


# -- sentences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gausian | gaussian-fit", "unknown generator 'gausian'; did you mean 'gaussian'?"),
        ("gaussian | gaussian_fit", "did you mean 'gaussian-fit'?"),
        ("gaussian | qqq", "unknown model 'qqq'; known: "),
        ("gaussian | gaussian", "'gaussian' is a generator; expected a model"),
        (
            "gaussian(sgima=2) | gaussian-fit",
            "gaussian has no parameter 'sgima'; did you mean 'sigma'?",
        ),
        (
            "gaussian | gaussian-fit | replace | none(x=1)",
            "none has no parameter 'x'; it takes none",
        ),
        ("gaussian(d=0) | gaussian-fit", "gaussian: d must be >= 1 and <= 4096, got 0"),
        ("gaussian(sigma=0) | gaussian-fit", "gaussian: sigma must be > 0, got 0"),
        ("gaussian(sigma=1e999) | gaussian-fit", "gaussian: sigma must be finite, got inf"),
        (
            "gaussian(sigma=1" + "0" * 400 + ") | gaussian-fit",
            "gaussian: sigma must be finite, got inf",
        ),
        ("gaussian(d=1.5) | gaussian-fit", "gaussian: d must be a whole number, got 1.5"),
        ("gaussian(d=true) | gaussian-fit", "gaussian: d must be a whole number, got True"),
        ('gaussian(d="2") | gaussian-fit', "gaussian: d must be a whole number, got '2'"),
        ("gaussian(sigma=big) | gaussian-fit", "gaussian: sigma must be a number, got big"),
        (
            "gaussian(truth_is=known) | gaussian-fit",
            "gaussian: truth_is must be one of drawn, fixed, got known",
        ),
        ("gaussian | gaussian-fit | mix(fresh=1)", "mix: fresh must be true or false, got 1"),
        (
            "gaussian | gaussian-fit | mix(decode=3)",
            "mix: decode must be a mitigation such as name(key=1), got 3",
        ),
        (
            "gaussian | gaussian-fit | mix(decode=mix)",
            "'mix' is a protocol; expected a mitigation",
        ),
        ("gaussian(d=1, d=2) | gaussian-fit", "'d' is given twice (position 14)"),
        ("gaussian | gaussian-fit @ n=1 n=2", "'n' is given twice"),
        (
            "gaussian | gaussian-fit @ N=1",
            "unknown setting 'N' after '@'; known: T, first, growth, n",
        ),
        (
            "gaussian | gaussian-fit @ growht=1",
            "unknown setting 'growht' after '@'; did you mean 'growth'?",
        ),
        ("gaussian | gaussian-fit @ n=0", "n must be a whole number >= 1, got 0"),
        ("gaussian | gaussian-fit @ T=1000000000", "T must be at most 1000000, got 1000000000"),
        ("gaussian | gaussian-fit @ n=1e308", "n must be at most 9007199254740992, got 1000"),
        (
            "gaussian | gaussian-fit @ n=1000000 T=1000000 growth=4",
            "it must be at most 90071992547",
        ),
        ("gaussian | gaussian-fit @ T=-1", "T must be a whole number >= 0, got -1"),
        ("gaussian | gaussian-fit @ growth=9", "growth must lie in [0, 4], got 9"),
        ('gaussian(truth_is="fixed) | gaussian-fit', "cannot be read (position 18)"),
        ('gaussian(truth_is="\\q") | gaussian-fit', "is not a JSON string"),
        ("gaussian(d=1 | gaussian-fit", "missing ')' before '| gaussian-fit'"),
        ("gaussian(d=[1, 2 @ n=3", "missing ']' before '@ n=3'"),
        ("gaussian(d=1 d=2) | gaussian-fit", "expected ',' before 'd=2) | gaussian-fit'"),
        ("gaussian(d=1", "missing ')' before 'the end of the spec'"),
        ("gaussian d=1) | gaussian-fit", "unexpected 'd=1) | gaussian-fit'"),
        ("gaussian(d) | gaussian-fit", "expected '=' before"),
        ("gaussian(d=) | gaussian-fit", "expected a value before"),
        ("gaussian(d=[1, 2) | gaussian-fit", "expected ',' before"),
        ("gaussian(sigma=" + "[" * 3000 + ") | gaussian-fit", "is nested more than 50 levels deep"),
        ("gaussian + zipf | gaussian-fit", "unexpected '+ zipf | gaussian-fi'"),
        ("true | gaussian-fit", "is a value, not a name"),
        ("/data/mnist | gaussian-fit", "cannot be read (position 0)"),
        ("gaussian", "has 1 section(s)"),
        ("a | b | c | d | e", "has 5 section(s)"),
        ("", "expected a name before 'the end of the spec'"),
        (
            "gaussian | gaussian-fit | replace | nature + none",
            "cannot be combined with a mitigation",
        ),
    ],
)
def test_errors_tell_what_and_what_instead(text, words):
    with pytest.raises(UsageError) as problem:
        REGISTRY.cell(text)
    assert words in str(problem.value)


def test_a_reading_error_shows_how_a_spec_reads():
    with pytest.raises(UsageError, match=r"a spec reads 'data \| model \| protocol"):
        parse_cell("gaussian || gaussian-fit")


PIECES = [
    "gaussian",
    "gaussian-fit",
    "mix",
    "replace",
    "temperature",
    "d",
    "n",
    "T",
    "first",
    "true",
    "null",
    "1",
    "-0.0",
    "1e999",
]
MARKS = [*'"\\=|()[],+@ .-', "\n", "\x1f", "é", "٣", '"a"', "9" * 400]
pieces = st.sampled_from(PIECES + MARKS)


def refused(read, text: str) -> str | None:
    """The sentence with which a text is refused, None where it is read."""
    try:
        read(text)
    except UsageError as problem:
        return str(problem)
    return None


@settings(max_examples=400)
@given(st.lists(pieces, max_size=25).map("".join) | st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    for read in (REGISTRY.cell, parse_cell, parse_call, parse_mitigations):
        assert refused(read, text) != ""


@settings(max_examples=150)
@given(cells(), st.data())
def test_any_slip_is_read_or_refused_with_a_sentence(cell, data):
    label = cell.label
    at = data.draw(st.integers(0, len(label)))
    slip = label[:at] + data.draw(pieces) + label[at + data.draw(st.integers(0, 3)) :]
    assert refused(REGISTRY.cell, slip) != ""

"""The documents say what is so: their code runs, their specs parse, their commands and names exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest

import collapse_bench
from collapse_bench import Mitigation, cell_of, generations
from collapse_bench.checks import outcomes
from collapse_bench.checks.world import STAGES
from collapse_bench.cli import cli
from collapse_bench.core.loop import nature
from collapse_bench.registry.discovery import KINDS, Registry, registry
from collapse_bench.running.chains import run_chains
from collapse_bench.spec import parse_mitigations
from collapse_bench.suite.model import find_suite, read_suite
from collapse_bench.theory.gaussian import acc_e

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    page.name: page.read_text(encoding="utf-8")
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
}


def block(page: str, start: str) -> str:
    found = [
        body for body in re.findall(r"```\w*\n(.*?)```", page, re.DOTALL) if body.startswith(start)
    ]
    assert len(found) == 1, f"{len(found)} code blocks begin with {start!r}"
    return found[0]


def test_the_mitigation_of_the_readme_is_short_and_scores(tmp_path):
    code = block(README, '"""Average the teacher with')
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    path = tmp_path / "mine.py"
    path.write_text(code)
    reg = Registry.discover([path])
    cell = reg.cell("gaussian | gaussian-fit | replace | first-voice(share=0.5) @ n=50 T=5")
    plain = reg.cell("gaussian | gaussian-fit | replace @ n=50 T=5")
    assert cell.incompatibility() is None
    ours, none = (run_chains(c, list(range(32))) for c in (cell, plain))
    assert set(ours.facts.status) == {"done"}

    def risk(record):
        return record.value[(record.metric == "w2") & (record.generation == 5)].mean()

    assert risk(ours) < risk(none)  # a say of generation 0 does avert some of the collapse


def test_the_world_of_the_contributors_page_passes_the_kit_and_obeys_its_law(tmp_path):
    path = tmp_path / "waiting.py"
    path.write_text(block(PAGES["CONTRIBUTING.md"], '"""Waiting times'))
    reg = Registry.discover([path])
    for kind, name in (("generator", "waiting-times"), ("model", "mean-fit")):
        found = list(outcomes(kind, reg.classes[kind][name], reg))
        assert [o for o in found if o.status == "failed"] == []
        assert not any(o.not_checked for o in found)
        assert sum(o.status == "passed" for o in found) > 8
    n, k, chains = 50, 4, 400
    cell = reg.cell(f"waiting-times | mean-fit @ n={n} T={k - 1}", seeds=tuple(range(chains)))
    *_, last = generations(cell)
    loss, law = last.scores["relative_error"], (1 + 1 / n) ** k - 1
    assert abs(loss.mean() - law) < 4 * loss.std() / chains**0.5 < law / 2


def test_the_training_of_the_contributors_page_passes_the_kit_and_keeps_a_loss(tmp_path):
    path = tmp_path / "halves.py"
    path.write_text(block(PAGES["CONTRIBUTING.md"], '"""Average two fits'))
    reg = Registry.discover([path])
    found = list(outcomes("mitigation", reg.classes["mitigation"]["halves"], reg))
    assert [o for o in found if o.status == "failed"] == []
    assert sum(o.status == "passed" for o in found) > 10
    task = "zipf(K=20) | counts | replace |"
    smooth, composed, mine = (
        run_chains(reg.cell(f"{task} {acts} @ n=40 T=1"), [0]).value
        for acts in ("label-smoothing", "halves + label-smoothing", "halves")
    )
    assert len({tuple(values) for values in (smooth, composed, mine)}) == 3


@pytest.fixture
def with_buffer(tmp_path) -> Registry:
    """The registry with the replay buffer of the contributors' page."""
    path = tmp_path / "buffer.py"
    path.write_text(block(PAGES["CONTRIBUTING.md"], '"""Read the training sets'))
    return Registry.discover([path])


def test_the_buffer_of_the_contributors_page_passes_the_kit(with_buffer):
    found = list(outcomes("mitigation", with_buffer.classes["mitigation"]["buffer"], with_buffer))
    assert [o for o in found if o.status == "failed"] == []
    assert sum(o.status == "passed" for o in found) > 10


def test_the_buffer_of_the_contributors_page_obeys_its_law(with_buffer):
    n, k, chains = 10, 6, 2000
    text = f"gaussian(sampler=exact-law) | gaussian-fit | {{}} @ n={n} T={k}"
    cell = with_buffer.cell(text.format("replace | buffer"), seeds=tuple(range(chains)))
    *_, last = generations(cell)
    drift = nature(cell).diagnostics(last.teacher)["mean_drift"]
    law = 1 / n + acc_e(n, k, ddof=1)
    assert abs(drift.mean() - law) < 4 * drift.std() / chains**0.5 < law / 2
    assert last.ledger.track() == "blind"


def test_the_buffer_of_the_contributors_page_reads_what_accumulate_reads(with_buffer):
    text = "gaussian(d=2) | gaussian-fit | {} @ n=10 T=4 first=gaussian(d=2, sigma=2)"
    both = (with_buffer.cell(text.format(how)) for how in ("replace | buffer", "accumulate"))
    for ours, pool in zip(*map(generations, both), strict=True):
        assert ours.scores["w2"] == pytest.approx(pool.scores["w2"])


@pytest.mark.parametrize(("protocol", "track"), [("replace", "blind"), ("mix", "real")])
def test_the_buffer_of_the_contributors_page_is_on_its_track(with_buffer, protocol, track):
    record = run_chains(
        with_buffer.cell(f"gaussian | gaussian-fit | {protocol} | buffer @ n=20 T=3"), [0, 1]
    )
    assert record.facts.track == track


@pytest.mark.parametrize("page", PAGES)
def test_specs_on_the_pages_parse(page):
    for text in re.findall(r"[\"'`]([a-z][^\"'`\n]* \| [^\"'`\n]+@[^\"'`\n]+)[\"'`]", PAGES[page]):
        # what the page itself defines has tests of its own
        if not any(word in text for word in ("path=", "waiting-times", "| buffer")):
            assert cell_of(text).label


@pytest.mark.parametrize("page", PAGES)
def test_commands_on_the_pages_exist(page):
    lines = re.findall(
        r"collapse-bench ((?:run|plan|board|report|list|show|plugins|check|laws|law|predict|verify-laws|reproduce|suite|submit|verify|merge)\b[^\n`&|)]*)",
        PAGES[page],
    )
    for line in lines:
        words = line.rstrip(".,;:").split()
        command = cli.commands[words[0]]
        if isinstance(command, click.Group):
            command = command.commands[words[1]]
        options = {name for p in command.params for name in p.opts}
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in options, f"{word} of {line!r} is no option"


def test_every_command_has_help_with_an_example_or_needs_none():
    for name, command in cli.commands.items():
        if not isinstance(command, click.Group) and name != "list":
            assert "Example" in command.help, name


def test_the_face_of_the_package_is_there():
    for name in collapse_bench.__all__:
        assert getattr(collapse_bench, name) is not None
    with pytest.raises(AttributeError):
        _ = collapse_bench.nothing_of_the_kind


def test_the_readme_names_what_exists():
    for kind, text in (("protocol", "| `replace` |"), ("protocol", "| `verify-filter")):
        assert text in README, kind
    changes = PAGES["CHANGELOG.md"]
    for kind in KINDS:
        for name in registry().classes[kind]:
            if kind != "protocol":
                assert f"`{name}`" in changes, f"{kind} {name} is not in the changelog"


def test_every_plugin_is_documented_for_show():
    for kind in KINDS:
        for name, cls in registry().classes[kind].items():
            assert len((cls.__doc__ or "").split()) > 5, f"{kind} {name} has no documentation"
            for field in dataclasses.fields(cls):
                assert field.metadata.get("doc"), (
                    f"{name}: {field.name} has no line of documentation"
                )


def test_the_table_of_the_readme_is_of_this_version():
    table = re.search(
        r"<!-- computed: readme-board -->(.*?)<!-- /computed -->", README, re.DOTALL
    ).group(1)
    suite = read_suite(find_suite("smoke", registry()))
    assert f"smoke v{suite.version}" in table
    for text in suite.mitigations:
        assert f"| {registry().mitigations(text)[0].title()} |" in table
    for control in ("none", "nature", "frozen"):
        assert f"| {control} |" in table


@pytest.mark.parametrize("name", ["smoke", "standard"])
def test_a_suite_that_ranks_is_calibrated_for_exactly_its_tasks(name):
    from collapse_bench.suite.expand import expand

    model = read_suite(find_suite(name, registry()))
    assert {row.task for row in model.calibration} == set(expand(model, registry()).tasks)
    assert all(row.chains == 256 for row in model.calibration)


def test_every_mitigation_stands_on_a_page_and_most_in_standard():
    """What `standard` leaves out, and README says why."""
    model = read_suite(find_suite("standard", registry()))
    meant = {call.name for text in model.mitigations for call in parse_mitigations(text)}
    known = {name for name, cls in registry().classes["mitigation"].items() if not cls.control}
    assert known - meant == {"negative-guidance", "weight-averaging"}
    assert all(
        f"`{name}`" in README.split("has all of them but these")[1].split("\n\n")[0]
        for name in known - meant
    )


MITIGATIONS = {
    name: cls for name, cls in registry().classes["mitigation"].items() if not cls.control
}
TRACKS = {"blind", "first", "provenance", "real", "verifier"}
#: (name, page, cells) of each row of a table of mitigations
ROWS = [
    (name, page, [cell.strip() for cell in cells.split("|")])
    for page, text in PAGES.items()
    if page.startswith("mitigations-")
    for name, cells in re.findall(r"^\| `([\w-]+)` \|(.*)\|$", text, re.MULTILINE)
    if name in MITIGATIONS
]
#: one of these fits each method as it is by default
TASKS = [
    "zipf(K=20) | counts | replace",
    "gaussian | gaussian-fit | replace",
    "linear(d=3) | ridge | replace",
    "half-space(d=3) | logistic(steps=3) | replace",
    "linear(d=3) | ridge | mix",
    "linear(d=3) | ols | accumulate(real=0.3)",
    "grammar-stories | ngram | mix",
    "zipf(K=20) | counts | replace(decode=temperature(t=0.9))",
    "gaussian | ddpm(steps=3, levels=4) | replace",
]


def moments_in(text: str) -> set[str]:
    return {moment for moment in STAGES if re.search(rf"\b{moment}\b", text)}


def told_by(cls) -> tuple[str, set[str], set[str]]:
    """(what stands before it, moments, tracks) by the words ``Stage: ...; track: ...`` of a docstring."""
    text = " ".join((cls.__doc__ or "").split())
    found = re.search(r"Stage: ([^;]+); track: (\w+(?: and \w+)*)", text)
    assert found, f"{cls.title()} does not say `Stage: ...; track: ...`"
    return text[: found.start()], moments_in(found[1]), set(re.findall(r"\w+", found[2])) & TRACKS


@pytest.mark.parametrize("name", MITIGATIONS)
def test_a_mitigation_says_its_paper_its_moments_and_what_it_uses(name):
    cls = MITIGATIONS[name]
    summary, moments, tracks = told_by(cls)
    assert re.search(r"arXiv \d{4}\.\d{5}|\b(19|20)\d\d\b|folklore", summary), (
        "no paper, nor word that there is none"
    )
    assert moments == {
        moment for moment in STAGES if getattr(cls, moment) is not getattr(Mitigation, moment)
    }
    cells = (cell_of(f"{task} | {name} @ n=20 T=1", seeds=[1, 2]) for task in TASKS)
    *_, last = generations(next(cell for cell in cells if cell.incompatibility() is None))
    assert tracks == set(last.ledger.track().split("+"))


@pytest.mark.parametrize("name", MITIGATIONS)
def test_a_mitigation_has_one_row_on_the_pages_and_it_is_right(name):
    cls = MITIGATIONS[name]
    [(page, cells)] = [(page, cells) for other, page, cells in ROWS if other == name]
    _, moment, uses, parameters, law = cells
    assert moments_in(moment) == told_by(cls)[1]
    assert set(re.search(r"\(([a-z+]+)\)", uses)[1].split("+")) == told_by(cls)[2]
    given = {}
    for key, value in parse_mitigations(f"{name}({parameters.strip('`–')})")[0].args:
        given[key] = getattr(value, "name", value)  # a bare word is a name
    due = {field.name: field.default for field in dataclasses.fields(cls)}
    assert given == {
        key: round(value, 3) if isinstance(value, float) else value for key, value in due.items()
    }
    assert law
    [listed] = [
        line for line in README.splitlines() if line.startswith("| [") and f"](docs/{page})" in line
    ]
    assert f"`{name}`" in listed

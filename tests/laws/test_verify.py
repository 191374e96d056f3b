"""Laws on the command line: what is claimed is run, what is violated is told and ends with 4, and no one sees a traceback."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pandas as pd
import pytest
from forked import call

from collapse_bench import cell_of, theory
from collapse_bench.api import predict, verify_laws
from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.laws.claims import SLACK, Claim
from collapse_bench.laws.verify import CHUNK, FEWEST, QUICK, Verdict, groups, verdicts
from collapse_bench.records.store import Store
from collapse_bench.registry.discovery import registry
from collapse_bench.running.chains import run_chains

LAW = "gaussian.sigma_mean"
CLAIMS = """\
from collapse_bench.laws.claims import Claim
from collapse_bench.registry.hookspecs import hookimpl

SPEC = "gaussian(sampler=exact-law) | gaussian-fit | replace @ n=15 T=3"


def sd(teacher, data):
    return teacher.mean_and_factor()[1][..., 0, 0].abs()


def claim(t, **more):
    more = {"metric": "sd", "read": lambda teacher, data: sd(teacher, data), "chains": 600} | more
    return Claim(LAW, {"M": 15, "k": t + 1}, SPEC, t=t, **more)


LAW = "gaussian.sigma_mean"
"""
OFFER = "\n\n@hookimpl\ndef collapse_claims():\n    return [%s]\n"


@pytest.fixture(scope="module", autouse=True)
def own_registry():
    """Plugin files of these tests stay unknown to all others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collapse_bench.registry.discovery._REGISTRY", None)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Plugin files by name; each offers claims."""
    folder = tmp_path_factory.mktemp("claims")
    offered = {
        "true": "claim(0), claim(3)",
        "false": "claim(3), claim(3, times=1.3)",
        "nothing-told": 'claim(0, metric="w3", read=None)',
        "no-such-law": 'Claim("gaussian.sgima_mean", {"M": 15, "k": 1}, SPEC, "w2", 0)',
        "out-of-range": 'Claim(LAW, {"M": 1, "k": 1}, SPEC, "w2", 0)',
        "does-not-fit": 'Claim(LAW, {"M": 15, "k": 1}, "gaussian | ols | replace @ n=15 T=0", "w2", 0)',
        "no-such-plugin": 'Claim(LAW, {"M": 15, "k": 1}, "gaussain | gaussian-fit | replace @ n=15 T=0", "w2", 0)',
    }
    for name, claims in offered.items():
        (folder / f"{name}.py").write_text('"""Claims."""\n' + CLAIMS + OFFER % claims)
    return {name: folder / f"{name}.py" for name in offered}


def told(ended):
    """The rows of a table in JSON that were claimed by a file of this test."""
    return [row for row in json.loads(ended.out) if " n=15 " in row["cell"]]


# -- verify-laws ----------------------------------------------------------------------------------------------------


def test_a_law_that_holds_and_one_that_does_not(files):
    good = call("verify-laws", LAW, "--quick", "--format", "json", "--plugin", files["true"])
    assert good.code == 0, good
    assert [(row["verdict"], row["generation"], row["chains"]) for row in told(good)] == [
        ("obeyed", 0, 60),
        ("obeyed", 3, 60),
    ]
    bad = call("verify-laws", LAW, "--format", "json", "--quick", "--plugin", files["false"])
    assert (bad.code, bad.err.count("Traceback")) == (4, 0), bad
    right, wrong = told(bad)
    assert (right["verdict"], wrong["verdict"]) == ("obeyed", "VIOLATED")
    assert (right["measured"], right["error"]) == (
        wrong["measured"],
        wrong["error"],
    )  # one run serves both
    assert wrong["predicted"] == pytest.approx(1.3 * right["predicted"])
    assert right["predicted"] == theory.evaluate(LAW, M=15, k=4)
    for row in (right, wrong):
        assert row["ratio"] == pytest.approx(row["measured"] / row["predicted"])
        assert row["z"] == pytest.approx((row["measured"] - row["predicted"]) / row["error"])


def test_every_format_tells_the_same(files):
    args = ("verify-laws", LAW, "--quick", "--plugin", files["false"])
    as_json, as_csv, as_markdown, as_table = (
        call(*args, *more)
        for more in (("--format", "json"), ("--format", "csv"), ("--format", "markdown"), ())
    )
    assert {ended.code for ended in (as_json, as_csv, as_markdown, as_table)} == {4}
    rows = json.loads(as_json.out)
    frame = pd.read_csv(io.StringIO(as_csv.out))
    assert list(frame.columns) == list(rows[0])
    assert frame.law.tolist() == [row["law"] for row in rows]
    assert frame.measured.tolist() == pytest.approx([row["measured"] for row in rows])
    lines = [line for line in as_markdown.out.splitlines() if line.startswith("| gaussian.")]
    assert len(lines) == len(rows)
    for text in (as_markdown.out, as_table.out):
        assert text.count("VIOLATED") == 1
        assert f"{len(rows)} claims of {len({row['law'] for row in rows})} laws, 1 violated" in text


@pytest.mark.slow
def test_two_workers_tell_what_one_tells(files):
    args = ("verify-laws", LAW, "--quick", "--format", "json", "--plugin", files["false"])
    one, two = call(*args), call(*args, "-j", "2")
    assert one.code == two.code == 4
    assert json.loads(one.out) == json.loads(two.out)


def test_words_select_laws_by_a_part_of_their_name(files):
    told = verify_laws(["sigma_mean"], quick=True, plugins=[files["true"]])
    laws = {verdict.claim.law for verdict in told}
    assert LAW in laws
    assert all("sigma_mean" in law for law in laws)
    with pytest.raises(
        NothingMatched, match=r"there is no claim about gaussian\.sigma_maen; did you mean"
    ):
        verify_laws(["gaussian.sigma_maen"])
    with pytest.raises(
        NothingMatched, match=r"there is no claim about gaussian\.sigma_maen; did you mean"
    ):
        verify_laws("gaussian.sigma_maen", plugins=files["true"])  # one word is no list of letters
    with pytest.raises(
        NothingMatched, match="there is no claim about misspelt"
    ):  # and no word is left aside in silence
        verify_laws(["sigma_mean", "misspelt"])
    with pytest.raises(
        NothingMatched, match=r"no cell of the engine expresses verification\.threshold"
    ):
        verify_laws("threshold")


def test_progress_is_told_group_by_group(files):
    moved = []
    found = verify_laws(
        [LAW],
        quick=True,
        plugins=[files["true"]],
        on_verdicts=lambda s, n: moved.append((len(s), n)),
    )
    assert sum(done for done, _ in moved) == len(found)
    assert {total for _, total in moved} == {len(found)}
    claims = [claim for claim in registry().claims() if claim.law == LAW]
    assert [verdict.claim for verdict in found] == claims  # in the order in which they are claimed


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("nothing-told", "gaussian.sigma_mean needs the metric w3; gaussian reports"),
        ("no-such-law", "gaussian.sgima_mean"),
        ("out-of-range", "M must be"),
        ("does-not-fit", "ols fits regression data"),
        ("no-such-plugin", "unknown generator 'gaussain'; did you mean 'gaussian'?"),
    ],
)
def test_a_claim_that_cannot_be_held_is_refused(files, file, words):
    law = "sgima" if file == "no-such-law" else LAW
    ended = call("verify-laws", law, "--quick", "--plugin", files[file])
    assert (ended.code, ended.out) == (2, ""), ended
    assert ended.said.startswith("Error: ")
    assert words in ended.said
    assert "Traceback" not in ended.err


# -- verdicts -------------------------------------------------------------------------------------------------------

CLAIM = Claim(
    LAW,
    {"M": 15, "k": 4},
    "gaussian(sampler=exact-law) | gaussian-fit | replace @ n=15 T=3",
    "w2",
    3,
)
OF_STATUS = {
    status: next(name for name, law in theory.laws().items() if law.status == status)
    for status in theory.STATUS
    if any(law.status == status for law in theory.laws().values())
}


@pytest.mark.parametrize(("status", "law"), OF_STATUS.items())
@pytest.mark.parametrize("predicted", [2.0, -2.0])
def test_the_reach_of_a_law_is_four_errors_and_its_slack(status, law, predicted):
    for side in (-1, 1):
        edge = 4 * 0.01 + SLACK[status] * 2.0
        for stretch, near in ((0.99, True), (1.01, False)):
            measured = predicted + side * stretch * edge
            verdict = Verdict(replace(CLAIM, law=law), predicted, measured, 0.01, 100)
            assert verdict.within is near
            assert verdict.good is (near != (status == "REFUTED"))
            assert verdict.z == pytest.approx(side * stretch * edge / 0.01)
            assert verdict.ratio == pytest.approx(measured / predicted)
            assert verdict.detects == pytest.approx(edge / 2.0)


def test_chains_that_do_not_differ():
    assert Verdict(CLAIM, 1.0, 1.0, 0.0, 60).good
    assert Verdict(CLAIM, 1.0, 1.0, 0.0, 60).z == 0
    off = Verdict(CLAIM, 1.0, 1.001, 0.0, 60)
    assert (off.good, off.z, off.word) == (False, math.inf, "VIOLATED")
    assert math.isnan(Verdict(CLAIM, 0.0, 0.1, 0.1, 60).ratio)
    assert math.isnan(Verdict(CLAIM, 0.0, 0.1, 0.1, 60).detects)
    assert not Verdict(CLAIM, 1.0, math.nan, 0.1, 60).good
    assert not Verdict(CLAIM, math.nan, 1.0, 0.1, 60).good


def test_a_form_in_print_that_does_not_hold_must_fail():
    spec = "gaussian(sampler=exact-law) | gaussian-fit | replace @ n=100 T=0"
    given = {"M": 100, "k": 1, "sigma": 1.0, "ddof": 1, "growth": 0.0}
    refuted = Claim("gaussian.w2_var_as_published", given, spec, "w2", 0, statistic="variance")
    [seen] = verdicts(spec, 8000, [refuted], registry())
    assert (seen.within, seen.good, seen.word) == (False, True, "refuted, as expected")
    [blunt] = verdicts(
        spec, 8000, [replace(refuted, times=seen.measured / seen.predicted)], registry()
    )
    assert (blunt.within, blunt.good, blunt.word) == (True, False, "NOT REFUTED")


def test_each_cell_is_run_once_with_the_chains_of_its_most_demanding_claim():
    other = replace(CLAIM, spec="another", chains=70)
    work = [CLAIM, other, replace(CLAIM, chains=9000), replace(other, chains=40)]
    assert groups(work) == [
        (CLAIM.spec, 9000, [work[0], work[2]]),
        ("another", 70, [other, work[3]]),
    ]
    assert [chains for _, chains, _ in groups(work, quick=True)] == [9000 // QUICK, FEWEST]
    assert (
        groups([replace(CLAIM, chains=12)], quick=True)[0][1] == 12
    )  # never more than were asked for


def test_mean_and_variance_over_more_chains_than_run_side_by_side():
    """The variance of the log-variance is told with its own standard error, and chunks are of different chains."""
    spec, chains = "gaussian(sampler=exact-law) | gaussian-fit | replace @ n=20 T=1", CHUNK + 500
    given = {"M": 20, "k": 2}
    both = [
        Claim("gaussian.logsigma_mean", given, spec, "log_variance", 1, times=2.0),
        Claim(
            "gaussian.logsigma_var", given, spec, "log_variance", 1, times=4.0, statistic="variance"
        ),
    ]
    mean, variance = verdicts(spec, chains, both, registry())
    assert (mean.good, variance.good) == (True, True)
    assert mean.chains == variance.chains == chains
    assert mean.error == pytest.approx(math.sqrt(variance.measured / chains), rel=1e-3)
    assert variance.error == pytest.approx(variance.measured * math.sqrt(2 / chains), rel=0.2)


def test_an_unknown_metric_is_refused_with_what_is_told():
    with pytest.raises(
        UsageError, match=r"needs the metric w3; gaussian reports .*log_variance.*w2"
    ):
        list(verdicts(CLAIM.spec, 4, [replace(CLAIM, metric="w3")], registry()))


# -- law and laws ---------------------------------------------------------------------------------------------------


def test_laws_lists_every_law():
    plain, as_json = call("laws"), call("laws", "--json")
    assert (plain.code, as_json.code, plain.err) == (0, 0, "")
    found = json.loads(as_json.out)
    assert list(found) == list(theory.laws())
    for name, law in theory.laws().items():
        assert found[name]["status"] == law.status
        assert found[name]["parameters"] == list(law.parameters)
        assert any(line.split()[:2] == [name, law.status] for line in plain.out.splitlines())


@pytest.mark.parametrize(
    ("args", "value"),
    [
        (["gaussian.w2_mean", "M=64", "k=7", "sigma=2.0"], theory.gaussian.w2_mean(64, 7, 2.0)),
        (["gaussian.acc_limit_v", "M=1e2"], theory.gaussian.acc_limit_v(100)),
        (
            ["strong.mixture", "d=20", "n=50", "lam=1", "p2=0.5", "m=none", "beta2=None"],
            theory.strong.mixture(20, 50, 1.0, 0.5),
        ),
        (
            ["tails.hutter", "beta=1.5", "T=1000", "kind=cut", "k=100"],
            theory.tails.hutter(1.5, 1000, kind="cut", k=100),
        ),
    ],
)
def test_law_prints_a_value_to_the_last_digit(args, value):
    ended = call("law", *args)
    assert (ended.code, ended.err) == (0, "")
    assert float(ended.out) == value


def test_law_without_parameters_prints_its_documentation():
    ended = call("law", LAW)
    assert (ended.code, ended.out.strip()) == (0, theory.documentation(LAW).strip())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["gaussian.w2_men"],
            "there is no law 'gaussian.w2_men'; did you mean 'gaussian.w2_mean'?",
        ),
        (["gaussian.w2_men", "M=3"], "did you mean 'gaussian.w2_mean'?"),
        (["gaussian.w2_mean", "M=64"], "gaussian.w2_mean needs k"),
        (["gaussian.w2_mean", "M=64", "k=7", "sgima=2"], "did you mean 'sigma'?"),
        (["gaussian.w2_mean", "M=64", "k"], "'k' is not key=value"),
        (["gaussian.w2_mean", "M=many", "k=1"], "M must be a whole number"),
        (["gaussian.w2_mean", "M=nan", "k=1"], "M must be a whole number"),
        (["gaussian.w2_mean", "M=64", "k=-1"], "k must be a whole number"),
        (["gaussian.w2_mean", "M=64", "k=7", "self=1"], "gaussian.w2_mean has no parameter 'self'"),
        (["gaussian.w2_mean", "M=64", "k=7", "M=9"], "M is given twice"),
        (
            ["kde"],
            "'kde' is a family of laws: kde.acc_var, kde.mise, kde.mix_drawn, kde.var, kde.var_scaled",
        ),
        (
            ["strong.mixture", "d=1e12", "n=9", "lam=1", "p2=0"],
            "d must be a whole number >= 1 and <= 10000000",
        ),
        (["tails.hutter", "beta=1.5", "T=10", "kind=ral"], "kind must be one of"),
        ([], "Missing argument 'NAME'"),
    ],
)
def test_law_refuses_with_a_sentence(args, words):
    ended = call("law", *args)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.said
    assert "Traceback" not in ended.err


# -- predict --------------------------------------------------------------------------------------------------------


def test_predict_prints_the_curve_of_a_cell():
    spec = "half-space(d=80) | least-squares | replace @ n=200 T=2"
    plain, as_json = call("predict", spec), call("predict", spec, "--json")
    assert (plain.code, plain.err, as_json.code) == (0, "", 0)
    found, curve = json.loads(as_json.out), predict(spec)
    assert (found["cell"], found["metric"]) == (spec, "error_rate")
    assert found["predicted"] == [curve[0], None, None]  # JSON knows no NaN
    head, *lines = plain.out.splitlines()
    assert head.split() == ["generation", "error_rate"]
    assert [line.split()[0] for line in lines[:3]] == ["0", "1", "2"]
    assert float(lines[0].split()[1]) == pytest.approx(curve[0], rel=1e-7)
    assert lines[1].split() == ["1", "no", "law"]
    assert lines[3:] == ["no law: no closed form is known for these generations of the cell"]


INFINITE = """\
import math
from dataclasses import dataclass

from collapse_bench.core.components import Protocol
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Forever(Protocol):
    \"""Replace, with a law of its own.\"""

    def compose(self, access, memory):
        return access.synthetic(access.n), None


@hookimpl
def collapse_protocols():
    return {"forever": Forever}


@hookimpl
def collapse_theory(cell):
    return [math.inf] * (cell.generations + 1) if cell.protocol.title() == "forever" else None
"""


def test_an_infinite_loss_is_said_and_is_not_taken_for_no_law(tmp_path):
    (tmp_path / "forever.py").write_text(INFINITE)
    spec = "gaussian | gaussian-fit | forever @ n=20 T=1"
    given = ("predict", spec, "--plugin", str(tmp_path / "forever.py"))
    plain, as_json = call(*given), call(*given, "--json")
    assert plain.out.splitlines()[1:] == [
        "         0  inf",
        "         1  inf",
        "inf: the expected loss is infinite there",
    ]
    assert json.loads(as_json.out)["predicted"] == ["inf", "inf"]


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        (
            "half-space | averaging | accumulate",
            5,
            "no law is known for half-space | averaging | accumulate",
        ),
        (
            "gaussian | gaussian-fit @ n=1 T=2",
            5,
            "no law is known for gaussian | gaussian-fit | replace @ n=1 T=2",
        ),
        ("half-space | ols | replace", 2, "ols fits regression data"),
        ("half-spac | averaging | replace", 2, "did you mean 'half-space'?"),
        ("half-space(dd=3) | averaging | replace", 2, "half-space has no parameter 'dd'"),
        ("half-space | averaging | replace @ n=0", 2, "n must be a whole number >= 1"),
        ("half-space | averaging |", 2, "half-space | averaging |"),
    ],
)
def test_predict_refuses_with_a_sentence(spec, code, words):
    ended = call("predict", spec)
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert ended.said
    assert "Traceback" not in ended.err


# -- what a record keeps ---------------------------------------------------------------------------------------------


def test_a_record_keeps_its_law_beside_what_was_measured(tmp_path):
    cell, store = cell_of("gaussian | gaussian-fit | replace @ n=20 T=3"), Store(tmp_path)
    for seeds in ([0, 1, 2], [3, 4, 5, 6]):  # a block that is completed is compared anew
        store.write(run_chains(cell, seeds), cell)
    record = store.read(cell.id, 0)
    theory = record.facts.theory
    assert theory.predicted == tuple(registry().predicted(cell))
    for t, law in enumerate(theory.predicted):
        sample = record.value[(record.metric == "w2") & (record.generation == t)]
        assert len(sample) == 7
        assert theory.measured[t] == pytest.approx(sample.mean())
        assert theory.ratio[t] == pytest.approx(sample.mean() / law)
        assert theory.z[t] == pytest.approx((sample.mean() - law) / (sample.std(ddof=1) / 7**0.5))


def test_a_record_without_a_law_or_with_one_chain_keeps_what_is_known(tmp_path):
    store = Store(tmp_path)
    for text, known in (
        ("zipf(K=9) | counts | accumulate @ n=20 T=2", False),
        ("gaussian | gaussian-fit @ n=9 T=2", True),
    ):
        cell = cell_of(text)
        theory = store.write(run_chains(cell, [4]), cell).facts.theory
        if known:
            assert all(theory.measured)
            assert theory.z == (None,) * 3
        else:
            assert theory.z is None or theory.z[1:] == (None, None)

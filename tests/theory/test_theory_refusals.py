"""What a law is not defined for it refuses, with a sentence that names the parameter, its range and what was given."""

from __future__ import annotations

import math

import numpy as np
import pytest
from settings_of_laws import SETTINGS

from collapse_bench import theory
from collapse_bench.errors import UsageError
from collapse_bench.theory._law import whole

BAD = [(name, parameter) for name, law in theory.laws().items() for parameter in law.ranges]


def outside(allowed) -> list:
    """Values that a declared range leaves out."""
    if allowed.choices:
        return ["nonsense", 7, 0.5, [], *([] if allowed.optional else [None])]
    wrong = [
        math.nan,
        math.inf,
        -math.inf,
        "3",
        "",
        True,
        [1],
        1j,
        *([] if allowed.optional else [None]),
    ]
    if allowed.whole:
        wrong += [allowed.low - 1, allowed.low + 0.5, allowed.high + 1, -(10**400)]
    if allowed.low > -math.inf:
        wrong += [
            allowed.low if allowed.brackets[0] == "(" else np.nextafter(allowed.low, -math.inf),
            allowed.low - 2,
        ]
    if allowed.high < math.inf:
        wrong += [
            allowed.high if allowed.brackets[1] == ")" else np.nextafter(allowed.high, math.inf),
            allowed.high + 2,
        ]
    return wrong


@pytest.mark.parametrize(("name", "parameter"), BAD)
def test_a_value_outside_its_range_is_refused(name, parameter):
    allowed = theory.laws()[name].ranges[parameter]
    for value in outside(allowed):
        with pytest.raises(ValueError, match="must be") as refused:
            theory.evaluate(name, **{**SETTINGS[name], parameter: value})
        assert isinstance(refused.value, UsageError)
        assert str(refused.value) == f"{name}: {parameter} must be {allowed}, got {value!r}"


@pytest.mark.parametrize(
    ("name", "changes", "parameter"),
    [
        ("gaussian.w2_mean", {"growth": -3.0}, "growth"),
        ("gaussian.nd_logdet", {"M": 3}, "M"),
        ("gaussian.mixfixed_v", {"pi": 0.02}, "pi"),
        ("gaussian.mixfixed_e", {"pi": 0.02}, "pi"),
        ("strong.mixture", {"p2": 1.0, "a2": 0.0}, "a1"),
        ("strong.mixture", {"p2": 0.0, "a1": 0.0}, "a1"),
        ("strong.noncommuting", {"a1": 0.0, "a2": 0.0}, "a1"),
        ("strong.mixture_equal", {"n": 40, "lam": 0}, "n"),
        ("strong.mixture", {"n": 40, "lam": 0, "m": None}, "n"),
        ("strong.mixture", {"n": 40, "lam": 0, "m": 50}, "n"),
        ("strong.mixture", {"n": 30, "lam": 0, "m": 30}, "n"),
        ("strong.mixture", {"n": 57, "lam": 0, "m": None, "a2": 0.0}, "n"),
        ("strong.noncommuting", {"n": 40, "lam": 0, "m": None}, "n"),
        ("strong.iso_ridgeless", {"n": 40}, "n"),
        ("strong.iter_mix", {"n": 39}, "n"),
        ("regression.ols_replace", {"T": 5}, "T"),
        ("regression.ols_accumulate", {"T": 5}, "T"),
        ("regression.ols_mix_fresh", {"T": 5}, "T"),
        ("regression.ols_mix_fixedreal", {"pi": 0.125}, "pi"),
        ("regression.ridge_iterated", {"n": 40, "lam": 0}, "n"),
        ("regression.ols_chain_then_ridge", {"T": 40, "lam": 0}, "T"),
        ("regression.ols_chain_then_ridge", {"T0": 41}, "T0"),
        ("tails.hutter", {"kind": "cut"}, "k"),
        ("tails.hutter", {"kind": "topp"}, "top_p"),
        ("tails.hutter", {"kind": "narrow"}, "beta2"),
        ("tails.hutter", {"kind": "temp"}, "temp"),
        ("tails.hutter", {"kind": "mix", "k": 3}, "pi"),
        ("tails.hutter", {"kind": "real", "k": 3}, "k"),
        ("discrete.support", {"M": 10**9, "k": 10**6}, "M"),
        ("verification.threshold", {"phi": 0, "psi": 0}, "phi"),
        ("verification.acc_average", {"phi": 0, "psi": 0}, "phi"),
        ("verification.acc_average_iterated", {"phi": 0, "psi": 0}, "phi"),
        ("verification.acc_ols", {"N": 50}, "N"),
        ("verification.halfspace", {"tg": 0, "tv": math.pi}, "tv"),
        ("verification.halfspace_rows", {"tg": 0, "tv": math.pi}, "tv"),
    ],
)
def test_ranges_that_depend_on_each_other(name, changes, parameter):
    with pytest.raises(theory.TheoryError, match=rf"^{name}: {parameter} must be .+, got "):
        theory.evaluate(name, **{**SETTINGS[name], **changes})


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        (
            "gaussian.w2_men",
            {},
            "there is no law 'gaussian.w2_men'; did you mean 'gaussian.w2_mean'?",
        ),
        ("strong.mixure", {}, "there is no law 'strong.mixure'; did you mean 'strong.mixture'?"),
        (
            "tails.hutter",
            {"beta": 2.0, "T": 3, "knd": "cut"},
            "tails.hutter has no parameter 'knd'; did you mean 'kind'?",
        ),
        ("kde.var", {"M": 3, "h": 0.1}, "kde.var needs k: batches, the first real"),
        ("gaussian.acc_limit_v", {"M": 3, "sgima": 1}, "did you mean 'sigma'?"),
        (
            "gaussian.acc_limit_v",
            {"M": 3, "self": 1},
            "gaussian.acc_limit_v has no parameter 'self'",
        ),
        (
            "kde",
            {},
            "'kde' is a family of laws: kde.acc_var, kde.mise, kde.mix_drawn, kde.var, kde.var_scaled",
        ),
    ],
)
def test_unknown_names_meet_the_nearest(name, given, said):
    with pytest.raises(theory.TheoryError) as refused:
        theory.evaluate(name, **given)
    assert said in str(refused.value)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(theory.TheoryError, match=r"known: discrete\.H_accumulate, "):
        theory.evaluate("zzz")


def test_whole_floats_and_numpy_numbers_count():
    same = theory.gaussian.w2_mean(20, 3)
    assert (
        same
        == theory.gaussian.w2_mean(20.0, np.int32(3), sigma=np.float32(1))
        == theory.gaussian.w2_mean(M=20, k=3)
    )


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (MemoryError("3 TiB"), "a.b: M=9 do not fit into memory"),
        (ArithmeticError("no root"), "a.b: no root"),
        (
            ZeroDivisionError(),
            "a.b: the value, or an intermediate result, is beyond the range of a float",
        ),
    ],
)
def test_what_breaks_a_formula_is_said(problem, said):
    def formula(M):
        raise problem

    with pytest.raises(theory.TheoryError, match=f"^{said}$"):
        theory.Law("a.b", "EXACT", "", formula, {"M": whole("rows", 1)})(M=9)


def test_what_does_not_settle_is_said():
    with pytest.raises(theory.TheoryError, match="did not converge"):
        theory.evaluate("strong.mixture", **{**SETTINGS["strong.mixture"], "a1": 1e308})


@pytest.mark.parametrize("name", ["strong.mixture", "strong.noncommuting"])
def test_rows_beyond_the_integers_of_a_machine_are_rows(name):
    setting = {**SETTINGS[name], "d": 4, "m": None, "s1": 0.5, "s2": 0.5}
    assert theory.evaluate(name, **{**setting, "n": 10**30}) == pytest.approx(
        theory.evaluate(name, **{**setting, "n": 10**15}), rel=1e-6
    )


def test_what_no_float_holds_is_said():
    with pytest.raises(theory.TheoryError, match="beyond the range of a float"):
        theory.evaluate("gaussian.w2_var", M=10, k=10**4)
    with pytest.raises(theory.TheoryError, match="beyond the range of a float"):
        theory.evaluate("gaussian.w2_mean", M=10, k=3, sigma=1e200)

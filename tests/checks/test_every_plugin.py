"""Every registered plugin, in every variant, against the whole conformance kit."""

from __future__ import annotations

import pytest

from collapse_bench.checks.kit import Subject
from collapse_bench.checks.testing import applicable, case_id, report
from collapse_bench.checks.world import small, variants
from collapse_bench.core.loop import generations
from collapse_bench.registry.discovery import KINDS, registry

#: flawed first teachers, which are no data of their own: their essential checks are skipped
NO_DATA = {"noisy-labels", "weak-labeller"}


def pytest_generate_tests(metafunc):
    """By default a plugin is checked at its small parameters and on small data; with --slow in all variants and sizes."""
    if "check" not in metafunc.fixturenames:
        return
    slow = metafunc.config.getoption("--slow")
    subjects = [
        Subject(role, component, registry(), thorough=slow)
        for role in KINDS
        for cls in registry().classes[role].values()
        for component in (variants(cls) if slow else filter(None, [small(cls)]))
    ]
    metafunc.parametrize(
        ("subject", "check"),
        [
            pytest.param(subject, check, id=case_id(subject, check))
            for subject in subjects
            for check in applicable(subject)
        ],
    )


def test_plugin(subject, check):
    report(subject, check, allow_skipped=subject.spec in NO_DATA)


def test_no_installed_plugin_is_broken():
    assert [(plugin.module, plugin.error) for plugin in registry().broken] == []


@pytest.mark.parametrize(
    ("protocol", "sizes", "real", "generated"),
    [
        ("replace", [20, 20, 20], 20, 40),
        ("accumulate", [20, 40, 60], 20, 40),
        ("accumulate-subsample", [20, 20, 20], 20, 40),
        ("mix(real=0.25)", [20, 20, 20], 30, 30),
        ("mix(real=0.25, fresh=false)", [20, 20, 20], 20, 30),
        ("mix(real=0)", [20, 20, 20], 20, 40),
        ("mix(real=1)", [20, 20, 20], 60, 0),
        ("verify-filter(oversample=3)", [20, 20, 20], 20, 120),
    ],
)
def test_what_a_protocol_reads_and_draws(protocol, sizes, real, generated):
    """The table of the manual, as the lesson's size and the ledger show it."""
    run = list(
        generations(registry().cell(f"linear(d=2) | ols | {protocol} @ n=20 T=2", seeds=(1, 2)))
    )
    assert [moment.size.tolist() for moment in run] == [[n, n] for n in sizes]
    assert (run[-1].ledger.total("real_rows"), run[-1].ledger.total("generated_rows")) == (
        real,
        generated,
    )


def test_every_kind_of_data_has_a_generator_and_a_model():
    kinds = {cls.kind for cls in registry().classes["generator"].values()}
    for kind in kinds:
        assert any(kind in (m.kinds or ()) for m in registry().classes["model"].values()), kind

"""Rows are named as their mitigations were given."""

from __future__ import annotations

import pytest

from collapse_bench import api
from collapse_bench.errors import UsageError

SPEC = "zipf(K=20) | counts | replace"


def methods(*mitigations: str, what: str | list[str] = f"{SPEC} @ n=20 T=1", **more) -> list[str]:
    request = api.RunRequest(what, mitigations=mitigations, **more)
    return api.load_suite(request).methods


def test_a_default_that_was_given_is_shown():
    assert methods("real-anchor", "real-anchor(k=2)") == ["real-anchor", "real-anchor(k=2)"]
    default = _default()
    given = f"real-anchor(k={default})"
    assert methods(given, "real-anchor(k=2)") == [given, "real-anchor(k=2)"]
    assert methods(what=[f"{SPEC} | {given} @ n=20 T=1"]) == [given]


def _default() -> int:
    from collapse_bench.registry.discovery import registry

    return registry().classes["mitigation"]["real-anchor"].__dataclass_fields__["k"].default


def test_one_cell_is_one_row():
    """And its id does not depend on how it was written."""
    given = f"real-anchor(k={_default()})"
    assert methods("real-anchor", given) == methods(given, given) == [given]
    suites = [
        api.load_suite(api.RunRequest(f"{SPEC} @ n=20 T=1", mitigations=text))
        for text in ("real-anchor", given)
    ]
    ids = [[e.cell.id for e in suite.entries if e.role == "entry"] for suite in suites]
    assert ids[0] == ids[1]
    assert [suite.model.focus for suite in suites] == ["real-anchor", given]


def test_the_focus_may_be_written_in_either_way():
    given = f"real-anchor(k={_default()})"
    for focus in ("real-anchor", given):
        suite = api.load_suite(
            api.RunRequest(f"{SPEC} @ n=20 T=1", mitigations=["top-p", given], focus=focus)
        )
        assert suite.model.focus == given
    with pytest.raises(UsageError, match="does not compete"):
        methods("top-p", focus="real-anchor")


def test_a_file_shows_defaults_in_a_sweep(tmp_path):
    path = tmp_path / "own.toml"
    given = f"real-anchor(k={_default()})"
    text = f'name = "own"\nmitigations = ["{given}", "top-p"{{more}}]\n[[tasks]]\n'
    text += 'data = "zipf(K=20)"\nmodel = "counts"\n'
    path.write_text(text.format(more=""))
    assert methods(what=str(path)) == ["real-anchor", "top-p"]
    path.write_text(text.format(more=', "real-anchor(k=3)"'))
    assert methods(what=str(path)) == [given, "top-p", "real-anchor(k=3)"]

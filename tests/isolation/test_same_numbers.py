"""An audited run gives the numbers of the ordinary run, and its process holds no secret."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from audited import audited

from collapse_bench.api import cell_of
from collapse_bench.core.loop import nature, root_of
from collapse_bench.core.rng import Stream
from collapse_bench.isolation.audit import Audit, Source
from collapse_bench.isolation.failures import PluginFailed
from collapse_bench.running.chains import run_chains

SEEDS = [0, 1, 2, 3]

#: what each cell is an example of -> its world and its mitigation
CELLS = {
    "provenance": ("gaussian | gaussian-fit | mix(real=0.5) @ n=30 T=3", "golden-ratio"),
    "generator stage": ("gaussian | gaussian-fit | replace @ n=30 T=3", "temperature(t=1.1)"),
    "filter": ("gaussian | gaussian-fit | replace @ n=30 T=3", "entropy-selection"),
    "real rows": ("gaussian | gaussian-fit | replace @ n=30 T=3", "real-anchor(k=5)"),
    "verifier": ("linear(d=3) | ridge | replace @ n=30 T=3", "oracle-verify"),
    "memory": ("gaussian | gaussian-fit | replace @ n=30 T=3", "replay-buffer"),
    "first teacher": ("gaussian | gaussian-fit | replace @ n=30 T=3", "best-of-k"),
    "several fits": ("gaussian | gaussian-fit | replace @ n=30 T=2", "ecosystem(m=2)"),
    "objective": (
        "half-space(d=4) | mlp(width=4, steps=4) | replace @ n=30 T=1",
        "label-smoothing(eps=0.2)",
    ),
    "sums only": ("gaussian(sampler=exact-law) | gaussian-fit | replace @ n=30 T=3", "neon"),
}


@pytest.mark.parametrize("kind", CELLS)
def test_an_audited_run_has_the_numbers_of_the_ordinary_one(kind):
    world, spec = CELLS[kind]
    cell = cell_of(world.replace("@", f"| {spec} @"))
    seeds = SEEDS[:1] if "mlp" in world else SEEDS
    with audited(world, spec) as (mine, _):
        assert mine.id == cell.id
        there, here = run_chains(mine, seeds), run_chains(cell, seeds)
    assert set(here.facts.status) == {"done"}
    assert there.facts.status == here.facts.status, there.facts.reason
    np.testing.assert_array_equal(there.metric, here.metric)
    np.testing.assert_allclose(there.value, here.value, rtol=1e-12, atol=0)
    assert there.facts.ledger == here.facts.ledger
    assert there.facts.track == here.facts.track


def test_a_mitigation_with_other_parameters_than_plain_values_is_refused(tmp_path):
    file = tmp_path / "nested.py"
    file.write_text(NESTED)
    with (
        pytest.raises(PluginFailed, match="the parameter inner is neither a number, nor a word"),
        Audit(Source.of_file(file), ["nested"]),
    ):
        pass


NESTED = """
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl, param

@dataclass(frozen=True)
class Nested(Mitigation):
    inner: Mitigation | None = param(None, "another one")

@hookimpl
def collapse_mitigations():
    return {"nested": Nested}
"""


# -- one-way keys -----------------------------------------------------------------------------------------------------


def test_one_way_streams_fork_by_a_hash():
    root = Stream([3, 5]).one_way()
    leaf, same = root.at("generation", 1), root.at("generation", 1)
    assert torch.equal(leaf.uniform(4), same.uniform(4))
    assert leaf.path == ""
    # neither key follows from the other by the rule of ordinary streams
    sibling = root.at("truth")
    assert not np.array_equal(leaf._first ^ sibling._first, Stream([3, 5])._first)
    for one in (root, sibling):
        assert not set(one._first.tolist()) & set(leaf._first.tolist())


def test_ordinary_streams_can_be_walked_upward_and_one_way_streams_cannot():
    """The key of an ordinary stream is that of its root, so that the truth follows from any stream."""
    cell = cell_of("gaussian | gaussian-fit | replace @ n=5 T=1", seeds=[7])
    own = root_of(cell).at("generation", 1, "mine", "own")
    root = Stream([0])
    root._first, root._second = own._first, own._second
    found = cell.data.sample_truth(root.at("truth")).truth.teacher.mean_and_factor()[0]
    truth = nature(cell).truth.teacher.mean_and_factor()[0]
    assert torch.equal(found, truth)

    hidden = replace(cell, one_way=True)
    own = root_of(hidden).at("generation", 1, "mine", "own")
    truth = nature(hidden).truth.teacher.mean_and_factor()[0]
    for way in (False, True):
        root = Stream([0])
        root._first, root._second, root._one_way = own._first, own._second, way
        found = cell.data.sample_truth(root.at("truth")).truth.teacher.mean_and_factor()[0]
        assert not torch.allclose(found, truth)
    assert hidden.id == cell.id


def test_one_chain_of_a_one_way_stream_is_drawn_as_among_others():
    many, alone = Stream([1, 2, 3]).one_way(), Stream([2]).one_way()
    assert torch.equal(many.at("a", "b").normal(6)[1:2], alone.at("a", "b").normal(6))
    assert torch.equal(many.at("a")[1].normal(6), alone.at("a")[0].normal(6))

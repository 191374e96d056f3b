"""One digest of a record, however its chains were run; one order of tracks, which is that of the
ledger."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from collapse_bench import Mitigation, cell_of, offer, run
from collapse_bench.core.ledger import Ledger
from collapse_bench.core.tracks import TRACKS, joined_tracks
from collapse_bench.records.facts import track_shown
from collapse_bench.records.store import Store
from collapse_bench.registry import discovery
from collapse_bench.running.chains import run_chains

SPECS = [
    "zipf(K=30) | counts | mix(real=0.5) | ratio-cap + real-anchor(k=3) @ n=20 T=3",
    "half-space(d=4) | least-squares | verify-filter(phi=0.6) | oracle-verify + real-anchor(k=3) @ n=20 T=3",
    "gaussian(d=2) | gaussian-fit | replace | real-anchor(k=3) @ n=20 T=3",
    "gaussian | gaussian-fit | replace | asks-outside @ n=20 T=3",
]


@dataclass(frozen=True)
class AsksOutside(Mitigation):
    """Uses what is outside and provenance: the two whose order by name is not that by cost."""

    def curate(self, corpus, access):
        access.external("a scorer", 5)
        return corpus.reweighted(1.0 + access.provenance(corpus))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(discovery, "_REGISTRY", None)
    offer("asks-outside", AsksOutside)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    "shards", [("0:3", "3:8"), ("3:8", "0:3"), ("4:6", "0:5", "5:8"), ("0:8:one",)]
)
def test_a_digest_does_not_depend_on_how_chains_were_run(spec, shards, tmp_path):
    whole = run(spec, seeds="0:8", output=tmp_path / "whole")
    for seeds in shards:
        memory = 1 if seeds.endswith(":one") else 2**29  # one chain at a time
        run(spec, seeds=seeds.removesuffix(":one"), output=tmp_path / "parts", memory=memory)
    assert not whole.failed
    for cell_id in {job.job.cell.id for job in whole.outcomes}:
        one, other = (Store(tmp_path / name).read(cell_id, 0) for name in ("whole", "parts"))
        assert one.facts == other.facts
        assert one.digest() == other.digest()


@pytest.mark.parametrize("spec", SPECS)
def test_a_resumed_run_has_the_digest_of_one_in_one_piece(spec, tmp_path):
    cell, store, seeds = cell_of(spec), Store(tmp_path), [0, 1, 2]

    class Stop(BaseException):
        pass

    def stop(event):
        if event.done == 2:
            raise Stop

    with pytest.raises(Stop):
        run_chains(cell, seeds, store, stop, checkpoint_seconds=0)
    resumed = run_chains(cell, seeds, store)
    assert resumed.runs[-1]["resumed_from"] is not None
    assert resumed.digest() == run_chains(cell, seeds).digest()


def test_tracks_are_joined_in_one_order():
    """By the ledger, from the ledger of a record, and of several records: the costliest last."""
    for some in itertools.chain.from_iterable(
        itertools.permutations(TRACKS, k) for k in range(len(TRACKS) + 1)
    ):
        ledger = Ledger()
        for substance in some:
            ledger.charge("method", substance, 3)
        shown = {f"{what}_by_methods": [0, 3 * (what in some)] for what in TRACKS}
        expected = "+".join(t for what, t in TRACKS.items() if what in some) or "blind"
        assert ledger.track() == track_shown(shown) == expected
        assert joined_tracks(TRACKS[what] for what in some) == expected
    assert joined_tracks(["verifier+real", "blind", "external"]) == "real+verifier+external"

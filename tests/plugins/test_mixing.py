"""Methods that mix real and synthetic rows, or several models: what they are charged, where they refuse, and small cases."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from collapse_bench import cell_of
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import generations
from collapse_bench.core.replicates import lift
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.lib.distributions.tables import TableTeacher
from collapse_bench.plugins.mitigations.ecosystem import Pool, Sliced, slices
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.plugins.models.ngram import NGram

# -- what the ledger shows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "track", "real", "unique"),
    [  # rows per chain over generations 1 .. 3, n = 40
        ("zipf(K=30) | counts | replace | replay", "real", 120, 40),
        ("zipf(K=30) | counts | replace | replay(redrawn=false)", "real", 12, 4),
        ("zipf(K=30) | counts | replace | real-anchor(share=0.5, fixed=true)", "real", 60, 20),
        ("zipf(K=30) | counts | replace | tail-injection(share=0.5)", "real", 60, 60),
        ("zipf(K=30) | counts | mix(real=0.1) | ratio-cap", "provenance", 0, 0),
        ("zipf(K=30) | counts | mix(real=0.1) | tuned-weighting", "provenance+real", 12, 12),
        ("zipf(K=30) | counts | replace | ecosystem", "blind", 0, 0),
        ("zipf(K=30) | counts | replace | growing", "blind", 0, 0),
        ("half-space(d=5) | averaging | replace | boosted-labels", "real+verifier", 12, 12),
        ("half-space(d=5) | averaging | replace | deliberate-practice", "blind", 0, 0),
        ("half-space(d=5) | averaging | replace | star-quotas", "blind", 0, 0),
    ],
)
def test_what_they_are_charged(spec, track, real, unique):
    *_, last = generations(cell_of(f"{spec} @ n=40 T=3", seeds=[1, 2]))
    assert last.ledger.track() == track
    used = [last.ledger.by_methods(what) for what in ("real_rows", "real_unique")]
    assert used == [real, unique]


def test_growing_pays_for_the_real_rows_that_come_with_the_size():
    *_, last = generations(
        cell_of("zipf(K=30) | counts | mix(real=0.5) | growing(power=1) @ n=40 T=2", seeds=[1, 2])
    )
    assert last.ledger.track() == "real"
    assert last.ledger.by_methods("real_rows") == (40 - 20) + (60 - 20)


# -- where they refuse ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "gaussian | gaussian-fit | replace | ratio-cap @ n=20",
            "add real rows first, as in real-anchor + ratio-cap",
        ),
        (
            "gaussian | gaussian-fit | mix(real=0) | tuned-weighting @ n=20",
            "real-anchor + tuned-weighting",
        ),
        (
            "gaussian(sampler=exact-law) | gaussian-fit | replace | replay @ n=20",
            "sampler=explicit",
        ),
        (
            "gaussian(sampler=exact-law) | gaussian-fit | replace | ecosystem @ n=20",
            "sampler=explicit",
        ),
        ("gaussian | gaussian-fit | replace | star-quotas @ n=20", "classification"),
        ("zipf | counts | replace | deliberate-practice @ n=20", "zipf asks none"),
        ("gaussian | gaussian-fit | replace | boosted-labels @ n=20", "no verifier"),
        (
            "zipf-memory(sampler=exact-law) | memory | replace | boosted-labels @ n=20",
            "sampler=explicit",
        ),
        (
            "half-space | averaging | replace | tail-injection @ n=20",
            "density and discrete and sequence",
        ),
    ],
)
def test_refusals(spec, words):
    assert words in cell_of(spec).incompatibility()


@pytest.mark.parametrize("weigher", ["ratio-cap", "tuned-weighting"])
def test_what_weighs_can_stand_behind_what_adds(weigher):
    spec = f"gaussian | gaussian-fit(sigma=1) | replace | real-anchor(k=5) + {weigher} @ n=20 T=2"
    last = {
        act: list(generations(cell_of(spec.replace(weigher, act), seeds=range(3))))[-1]
        for act in (weigher, "none")
    }
    assert not torch.allclose(last[weigher].scores["w2"], last["none"].scores["w2"])


@pytest.mark.parametrize(
    "act",
    [
        "replay(share=1.1)",
        "ratio-cap(lam=0)",
        "growing(power=5)",
        "tail-injection(weight=0.5)",
        "star-quotas(oversample=0.9)",
        "boosted-labels(beta=0)",
        "deliberate-practice(oversample=0)",
        "tuned-weighting(steps=0)",
        "ecosystem(m=0)",
        "real-anchor(share=0)",
    ],
)
def test_ranges_are_told(act):
    with pytest.raises(UsageError, match="must be"):
        cell_of(f"gaussian | gaussian-fit | replace | {act} @ n=20")


# -- several models ------------------------------------------------------------------------------------------------


def _rows(weight=None, count=None, n=10):
    y = torch.arange(n).double().expand(3, n)[..., None]
    return Corpus.of(None, y, (3,), weight=weight, count=count)


def test_slices_hold_every_row_once():
    weight = torch.ones(3, 10)
    weight[0, ::2] = 0  # 5 rows are left, of 4 models' lessons
    parts = slices(_rows(weight), 4, Stream(range(3)))
    for r in range(3):
        read = [part.y[r, :, 0][part.weight[r] > 0].tolist() for part in parts]
        assert sorted(row for some in read for row in some) == [
            i for i in range(10) if weight[r, i]
        ]
        assert max(map(len, read)) - min(map(len, read)) <= 1


def test_models_without_a_row_of_their_own_share_one():
    weight = torch.zeros(3, 10)
    weight[:, 4] = weight[0, 7] = 1
    parts = slices(_rows(weight), 4, Stream(range(3)))
    assert all((part.mass > 0).all() for part in parts)
    assert {float(v) for part in parts for v in part.y[part.weight > 0].flatten()} == {4.0, 7.0}
    assert all(
        part.n == 1 for part in slices(_rows(n=2), 5, Stream(range(3)))
    )  # fewer rows than models


def test_slices_of_counts_add_up():
    count = torch.tensor([[5, 0, 8], [1, 1, 11], [0, 0, 2]])
    weight = torch.tensor([[1.0, 1, 1], [1, 0, 2], [1, 1, 1]])
    parts = slices(_rows(weight, count, n=3), 4, Stream(range(3)))
    total = sum(part.count for part in parts)
    assert (total[:2] == (count * (weight > 0))[:2]).all()
    sizes = torch.stack([part.count.sum(-1) for part in parts])[:, :2]
    assert int((sizes.amax(0) - sizes.amin(0)).max()) <= 1
    assert all(
        part.count[2].sum() > 0 for part in parts
    )  # two rows for four models: some read all there is


def test_what_a_pool_says_and_how_likely_it_is():
    one, other = (
        TableTeacher(torch.tensor(p, dtype=torch.float64))
        for p in ([[1.0, 0, 0]], [[0.0, 0.5, 0.5]])
    )
    pool, rng = Pool((one, other)), Stream([3])
    said = pool.answer(torch.empty(1, 40, 0), rng)
    assert int((said == 0).sum()) == 20  # each answers half of the questions
    assert said[0, :20].unique().numel() > 1  # and not the first half
    assert pool.logp(torch.empty(1, 3, 0), torch.arange(3)[None]).exp()[
        0, :, 0
    ].tolist() == pytest.approx([0.5, 0.25, 0.25])
    counts = pool.sample_sufficient(41, rng).count[0]
    assert int(counts[0]) in (20, 21)
    assert int(counts.sum()) == 41
    assert pool.answer(torch.empty(1, 0, 0), rng).shape == (1, 0)


def test_a_pool_of_texts_is_a_law():
    """All texts of at most two tokens of an alphabet of two have the probability one together; the token-wise
    probabilities multiply to the mean of the members'."""
    texts = torch.tensor([[-1, -1], [0, -1], [1, -1], [0, 0], [0, 1], [1, 0], [1, 1]])
    corpus = Corpus.of(torch.empty(7, 0, dtype=torch.int64), texts, (), labels=2)
    weights = (torch.tensor([1.0, 2, 0, 1, 0, 3, 1]), torch.tensor([2.0, 0, 1, 1, 4, 0, 1]))
    members = tuple(NGram(order=2).fit(corpus.weighted(w), Stream(0)) for w in weights)
    pool = Pool(members)
    whole = pool.logp(corpus.x, texts).sum(-1).exp()
    assert float(whole.sum()) == pytest.approx(1)
    expected = sum(member.logp(corpus.x, texts).sum(-1).exp() for member in members) / 2
    torch.testing.assert_close(whole, expected)


def test_pools_meet_their_like():
    rows, rng = _rows(), Stream(range(3))
    access = SimpleNamespace(fit=lambda model, corpus, before, rng: model.fit(corpus, rng, before))

    def fitted(m, rng):
        return lift(GaussianFit()).with_training(Sliced(m, access)).fit(rows, rng)

    old = fitted(2, rng)
    both = old.blend(fitted(2, rng.at("again")), 0.5)
    assert len(both.members) == 2
    alone = old.blend(GaussianFit().fit(rows, rng), 1.0)
    torch.testing.assert_close(alone.mean_and_factor()[0], rows.y.mean(-2))
    with pytest.raises(Incompatible, match="an ecosystem of 2 cannot be averaged with one of 3"):
        old.blend(fitted(3, rng), 0.5)


def test_the_function_of_the_page_gives_curves():
    page = (Path(__file__).resolve().parents[2] / "docs" / "mitigations-mixing.md").read_text(
        encoding="utf-8"
    )
    found = {}
    exec(page.split("```python\n")[1].split("```")[0], found)
    first, last = found["curve"](
        "zipf | counts", "replace | replay", "support", "n=50 T=2", (0, 2), chains=4
    )
    assert first[0] > last[0] > 0 < last[1]

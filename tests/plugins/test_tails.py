"""Tables over symbols and what recalls them: edges, ties, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_bench import Corpus, Incompatible, Stream, UsageError, cell_of, generations
from collapse_bench.core.identity import written
from collapse_bench.lib.distributions.decoding import Decoding
from collapse_bench.lib.distributions.tables import ContextTeacher, RecallTeacher, recalled
from collapse_bench.plugins.models.memory import Memory
from collapse_bench.plugins.models.softmax_regression import SoftmaxRegression, minimiser
from collapse_bench.registry.discovery import registry

TABLE = torch.tensor(
    [[0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.0, 1.0]]
).double()


def read(x, y, labels, **more):
    return Corpus.of(torch.tensor(x)[:, None], torch.tensor(y), (), labels=labels, **more)


class Edge(Stream):
    """A stream whose uniform numbers lie at the ends of (0, 1)."""

    def uniform(self, *shape):
        u = torch.full(shape, 2.0**-53, dtype=torch.float64)
        u[1::2] = 1 - 2.0**-53
        return u


def test_no_lost_symbol_is_drawn_at_the_edges_of_a_row():
    x = torch.arange(4).repeat_interleave(2)[:, None]
    said = ContextTeacher(TABLE).answer(x, Edge(0))
    assert (TABLE[x[:, 0], said] > 0).all()
    assert said.tolist() == [1, 2, 0, 0, 0, 3, 3, 3]


def test_each_row_is_read_out_by_itself():
    cut = ContextTeacher(TABLE, Decoding(top_k=2)).read
    assert torch.allclose(cut[2], torch.tensor([0, 0, 3 / 7, 4 / 7]).double())
    assert torch.allclose(cut[1], TABLE[1])


def test_draws_follow_the_row_of_their_context():
    n = 40_000
    x = (torch.arange(n) % 4)[:, None]
    for said in (ContextTeacher(TABLE).answer(x, Stream(3)), None):
        if said is None:
            corpus = ContextTeacher(TABLE).sample_sufficient(torch.full((4,), n // 4), Stream(3))
        else:
            corpus = Corpus.of(x, said, (), labels=4)
        share = corpus.tally(4, 4) / (n / 4)
        assert ((share - TABLE).abs() <= 5 * (TABLE * (1 - TABLE) / (n / 4)).sqrt()).all()


def test_the_answer_most_read_is_recalled_and_ties_go_to_the_smaller():
    corpus = read(
        [0, 0, 0, 1, 1, 2, 2],
        [3, 3, 1, 2, 1, 0, 4],
        5,
        weight=torch.tensor([1.0, 1, 1, 1, 1, 1, 0]),
    )
    said, mass = recalled(corpus)
    assert said[:3].tolist() == [3, 1, 0]
    assert mass.tolist() == [3, 2, 1, 0, 0]


def test_what_was_never_read_is_not_known():
    teacher = Memory().fit(read([0, 2], [1, 1], 4), Stream(0))
    assert teacher.answers.tolist() == [1, 3, 1, 3]
    x, y = torch.tensor([[0], [1]]), torch.tensor([1, 1])
    assert teacher.logp(x, y)[:, 0].tolist() == [0, -torch.inf]
    assert teacher.decoded(temperature=3.0) is teacher
    assert isinstance(teacher, RecallTeacher)


@pytest.mark.parametrize("lam", [0.0, 1e-6, 1e-3, 1.0])
def test_the_optimiser_converges_from_the_edge_of_a_thousand_symbols(lam):
    """From all on one symbol to all alike, and with a context that was never read."""
    f = torch.zeros(4, 1000, dtype=torch.float64)
    f[0, 3] = 0.5
    f[1] = 0.2 / 1000
    f[2, :500] = torch.from_numpy(np.arange(1, 501.0) ** -3)
    W = minimiser(f, lam)
    gradient = f.sum(-1, keepdim=True) * W.softmax(-1) - f + 2 * lam * W
    assert gradient.abs().max() < 1e-9
    assert (W[3] == 0).all()


def test_a_penalty_shrinks_towards_all_alike():
    corpus = read([0] * 9 + [1], [0] * 9 + [1], 2)
    weak, strong = (SoftmaxRegression(lam=lam).fit(corpus, Stream(0)).p for lam in (1e-3, 10.0))
    assert weak[0, 0] > 0.95
    assert torch.allclose(strong, torch.tensor(0.5).double(), atol=0.03)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("zipf | memory", "memory answers questions, and zipf has none"),
        ("zipf | associative-memory", "associative-memory answers questions, and zipf has none"),
        (
            "zipf-memory(K=100000) | counts",
            "counts keeps a table; for zipf-memory it would have 1.0e+10 entries",
        ),
        ("zipf-memory(K=100000) | softmax-regression", "softmax-regression keeps a table"),
        ("gaussian | memory", "gaussian has none"),
    ],
)
def test_what_does_not_fit_is_told(spec, sentence):
    assert sentence in cell_of(f"{spec} @ n=9 T=1").incompatibility()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("zipf(plain=1.5) | counts", "plain must be >= 0 and <= 1"),
        ("zipf | counts | replace | top-k(k=0)", "k must be >= 1"),
        ("bigram(K=1) | counts", "K must be >= 2"),
        ("bigram | softmax-regression(lam=-1)", "lam must be >= 0"),
        ("zipf-memory | associative-memory(d=0)", "d must be >= 1"),
    ],
)
def test_bad_parameters_are_refused(spec, sentence):
    with pytest.raises(UsageError, match=sentence.replace("(", "\\(")):
        cell_of(f"{spec} @ n=9 T=1")


def test_a_table_wants_symbols():
    corpus = Corpus.of(torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64), (), labels=3)
    with pytest.raises(Incompatible, match="questions of at most one symbol"):
        recalled(corpus)


def test_a_known_question_may_be_forgotten_and_never_learnt_again():
    """Under replace no later memoriser knows what an earlier one did not: what is unknown is taught as unknown."""
    cell = cell_of("zipf-memory(K=50) | memory @ n=60 T=6", seeds=range(20))
    known = None
    for now in generations(cell):
        right = now.teacher.answers != 50
        assert known is None or not (right & ~known).any()
        known = right


@pytest.mark.parametrize(
    "name",
    ["tails-scaling", "tails-generations", "tails-mixing", "tails-capacity", "discrete-survival"],
)
def test_figures_ask_for_cells_that_go_together_and_numbers_that_these_tell(name):
    figure = registry().figure(name)("quick", None)
    points = [point for panel in figure.panels for curve in panel.curves for point in curve.points]
    told = {}
    for spec in {point.spec for point in points if point.spec}:
        cell = cell_of(spec, seeds=[0])
        assert cell.incompatibility() is None
        assert max(point.t for point in points if point.spec == spec) <= cell.generations
        world = written(cell.data).name
        if world not in told:
            data = cell.data.sample_truth(Stream(0))
            told[world] = {**data.losses(data, Stream(1)), **data.diagnostics(data)}
    assert {point.metric for point in points if point.spec} <= set().union(*told.values())
    assert sum(point.predicted is not None for point in points) > 10

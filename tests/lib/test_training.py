"""The training loop: batches, weights, micro-batches, schedules, validation, and what goes wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from collapse_bench.core.progress import listening
from collapse_bench.core.replicates import merged
from collapse_bench.errors import UsageError
from collapse_bench.lib.neural.neural import Neural, log_loss
from collapse_bench.lib.neural.training import Diverged, Schedule, batches, train


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Line(nn.Module):
    """y = w x: one number to learn."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, 1))

    def losses(self, x, y):
        return lambda rows: (self.w[0, 0] * x[rows] - y[rows]) ** 2


def schedule(**values) -> Schedule:
    return Schedule(**{"steps": 400, "epochs": None, "batch": 64, "lr": 0.05, **values})


def fitted(weight, y, **values) -> float:
    line, x = Line(), torch.ones(len(y))
    train(line, line.losses(x, y), weight, None, schedule(cosine=True, **values), generator())
    return float(line.w.detach())


def test_weights_make_a_weighted_mean():
    y = torch.tensor([0.0, 1.0, 4.0])
    weight = torch.tensor([1.0, 2.0, 1.0])
    assert fitted(weight, y) == pytest.approx(1.5, abs=1e-3)
    assert fitted(weight * 7, y) == pytest.approx(1.5, abs=1e-3)


def test_rows_of_weight_zero_are_never_read():
    y = torch.tensor([2.0, torch.nan, 2.0, torch.nan])
    assert fitted(torch.tensor([1.0, 0.0, 1.0, 0.0]), y) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize("micro", [1, 3, 8, 100])
def test_micro_batches_change_no_gradient(micro):
    """Units differ from row to row, so that a mean over micro-batches would be another number."""
    torch.manual_seed(0)
    x, y, units = torch.randn(20), torch.randn(20), torch.randint(1, 9, (20,)).float()
    weight = torch.rand(20)
    grown = []
    for size in (None, micro):
        line = Line()
        losses = line.losses(x, y)
        plan = schedule(steps=5, batch=8, micro=size, clip=0.5)
        train(
            line,
            lambda rows, losses=losses: units[rows] * losses(rows),
            weight,
            units,
            plan,
            generator(3),
        )
        grown.append(line.w.detach().clone())
    torch.testing.assert_close(*grown)


def test_a_step_is_the_mean_over_units():
    """Two rows, of three units and of one: the first counts three times as much."""
    line, seen = Line(), []
    x, y, units = torch.ones(2), torch.tensor([1.0, 0.0]), torch.tensor([3.0, 1.0])

    def loss(rows):
        return units[rows] * (line.w[0, 0] * x[rows] - y[rows])  # slope units * x

    class Watch(torch.optim.AdamW):
        def step(self, *args, **kwargs):
            seen.append(line.w.grad.item())
            return super().step(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.optim, "AdamW", Watch)
        account = train(
            line, loss, torch.tensor([1.0, 1.0]), units, schedule(steps=1, batch=2), generator()
        )
    assert seen == [pytest.approx(1.0)]
    assert account["units"] == 4


def test_what_does_not_fit_in_memory_is_halved_and_told():
    line, x, y = Line(), torch.ones(32), torch.full((32,), 3.0)
    sizes = []

    def loss(rows):
        sizes.append(len(rows))
        if len(rows) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return line.losses(x, y)(rows)

    account = train(line, loss, torch.ones(32), None, schedule(batch=32, cosine=True), generator())
    assert account["micro_batch"] == 4
    assert sizes[:3] == [32, 16, 8]
    assert set(sizes[3:]) == {4}
    assert float(line.w.detach()) == pytest.approx(3.0, abs=1e-3)


def test_a_row_that_does_not_fit_is_an_error():
    def loss(rows):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        train(Line(), loss, torch.ones(4), None, schedule(), generator())


def test_batches_read_every_row_once_an_epoch():
    rows = torch.tensor([2, 3, 5, 7, 11])
    got = list(batches(rows, 2, 6, generator()))
    assert [len(some) for some in got] == [2, 2, 1, 2, 2, 1]
    assert (
        sorted(torch.cat(got[:3]).tolist()) == sorted(torch.cat(got[3:]).tolist()) == rows.tolist()
    )
    assert torch.cat(got[:3]).tolist() != torch.cat(got[3:]).tolist()


@pytest.mark.parametrize(
    ("given", "rows", "steps"),
    [
        ({"steps": 7, "epochs": None}, 1000, 7),
        ({"steps": None, "epochs": 1.0}, 100, 10),
        ({"steps": None, "epochs": 1.0}, 101, 11),
        ({"steps": None, "epochs": 2.5}, 100, 25),
        ({"steps": None, "epochs": 0.01}, 10, 1),
    ],
)
def test_length(given, rows, steps):
    assert schedule(batch=10, **given).length(rows) == steps


def test_rate_climbs_and_falls():
    plan = schedule(warmup=0.25, cosine=True)
    rates = [plan.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == pytest.approx(1.0, abs=1e-2)
    assert rates.index(max(rates)) in (24, 25)
    assert rates[-1] < 1e-3
    assert schedule().rate(0, 10) == schedule().rate(9, 10) == 1.0


def test_validation_keeps_the_best_parameters():
    """Training pulls w to 3, validation wants 1: what is kept lies near 1."""
    line, x = Line(), torch.ones(64)
    losses = line.losses(x, torch.full((64,), 3.0))
    account = train(
        line,
        losses,
        torch.ones(64),
        None,
        schedule(lr=0.01),
        generator(),
        lambda: (float(line.w.detach()) - 1) ** 2,
    )
    assert float(line.w.detach()) == pytest.approx(
        1.0, abs=0.11
    )  # a look every 20 steps of at most 0.01 each
    assert 0 < account["stopped_at"] < 400
    assert account["validation_loss"] < 0.02


def test_a_loss_that_is_no_number_stops_with_a_sentence():
    line, x = Line(), torch.ones(4)
    losses = line.losses(x, torch.full((4,), torch.nan))
    with pytest.raises(Diverged, match=r"training loss is nan at step 1 of 400; try a lower lr"):
        train(line, losses, torch.ones(4), None, schedule(), generator())


def test_beats_are_heard():
    line, heard = Line(), []
    with listening(heard.append):
        train(
            line,
            line.losses(torch.ones(4), torch.ones(4)),
            torch.ones(4),
            None,
            schedule(steps=1000),
            generator(),
        )
    assert {step.work for step in heard} == {"fit"}
    assert (heard[-1].done, heard[-1].total) == (1000, 1000)
    assert 100 <= len(heard) <= 102
    assert heard[0].note == "loss 1"


def test_accounts_are_joined():
    mine = {
        "steps": 10,
        "units": 100.0,
        "seconds": 2.0,
        "units_per_second": 50.0,
        "micro_batch": 8,
        "loss": 1.0,
    }
    theirs = mine | {"units": 300.0, "micro_batch": 4, "loss": 3.0}
    both = merged([mine, {}, theirs])
    assert both == {
        "steps": 20,
        "units": 400.0,
        "seconds": 4.0,
        "units_per_second": 100.0,
        "micro_batch": 4,
        "loss": 2.0,
    }
    assert merged([]) == {}


def test_log_loss_is_what_it_says():
    logp = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    torch.testing.assert_close(
        log_loss(logp, torch.tensor([1, 0])), -torch.log(torch.tensor([0.75, 0.5]))
    )


def test_steps_or_epochs_and_not_both():
    assert Neural().schedule.steps == 500
    assert (Neural(epochs=2).schedule.steps, Neural(epochs=2).schedule.epochs) == (None, 2.0)
    with pytest.raises(UsageError, match="give either steps or epochs, got steps=3 and epochs=2"):
        Neural(steps=3, epochs=2)

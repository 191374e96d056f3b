"""The training loop of every neural model: weighted rows, a schedule, one optimiser.

A step minimises sum_r w_r loss_r / sum_r w_r units_r over its batch, where loss_r is summed over the units of row r
(tokens of a text, one for a label): each unit counts the same, and a row of weight 2 counts as the row written twice.
The gradient does not depend on how a batch is cut into micro-batches.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.progress import report_step

#: one number per row (b,): its loss, summed over its units
RowLoss = Callable[[Tensor], Tensor]
CHECKS = 20  # evaluations on the validation rows in one training


class Diverged(ArithmeticError):
    """The loss is no longer a number; the sentence says at which step, and what to try."""


@dataclass(frozen=True)
class Schedule:
    """How long, in which steps, at which rate.  ``steps`` or ``epochs`` is given; an epoch reads every row once."""

    steps: int | None
    epochs: float | None
    batch: int  # rows per step
    lr: float  # of AdamW
    warmup: float = 0.0  # share of the steps in which the rate rises linearly from zero
    cosine: bool = False  # whether it falls to zero afterwards, along half a cosine
    decay: float = 0.0  # decoupled weight decay, of matrices only
    clip: float | None = None  # largest norm of a gradient
    micro: int | None = None  # rows that go through the network at a time; None: the whole batch

    def length(self, rows: int) -> int:
        """Steps in all, for a corpus of this many rows."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None  # one of the two is given
        return max(1, math.ceil(self.epochs * math.ceil(rows / self.batch) - 1e-9))

    def rate(self, step: int, steps: int) -> float:
        """The share of ``lr`` in force at a step."""
        rise = self.warmup * steps
        if step + 1 < rise:
            return (step + 1) / rise
        if not self.cosine:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))


def train(
    module: nn.Module,
    loss: RowLoss,
    weight: Tensor,
    units: Tensor | None,
    schedule: Schedule,
    generator: torch.Generator,
    validation: Callable[[], float] | None = None,
) -> dict[str, float]:
    """Train the parameters of ``module`` that require a gradient, in place, and return an account of it.

    loss(rows (b,) int64): summed losses (b,) of those rows.  weight (n,) >= 0: rows of weight 0 are never read.
    units (n,): how many units each row has, 1 by default.  validation: a loss on other rows; the
    parameters are left where it was lowest among ``CHECKS`` evaluations.  Raises Diverged.

    Account: steps, units (read in all), seconds, units_per_second, loss (mean of the last tenth), micro_batch (rows),
    peak_device_memory_mib (GPU only), stopped_at (the step kept, with validation).
    """
    there = torch.nonzero(weight > 0)[:, 0]
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = _optimiser(parameters, schedule)
    steps = schedule.length(len(there))
    size = min(schedule.batch, len(there))
    alike = bool((weight[there] == weight[there[0]]).all())
    worth = _Worth(None if alike else weight.float(), None if units is None else units.float())
    stepper = _Stepper(loss, worth, parameters, min(schedule.micro or size, size), schedule.clip)
    best = _Best(module, validation, steps)
    cuda = weight.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(weight.device)
    began, recent = time.perf_counter(), []
    seen: Tensor | int = 0
    module.train()
    for step, rows in enumerate(batches(there, size, steps, generator)):
        for group in optimiser.param_groups:
            group["lr"] = schedule.lr * schedule.rate(step, steps)
        value = stepper.gradient(rows)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        seen += worth.count(rows)
        recent.append(value)
        if step % max(1, steps // 100) == 0 or step + 1 == steps:
            report_step("fit", step + 1, steps, f"loss {_finite(value, step, steps):.4g}")
        best.look(step)
    best.restore()
    module.eval()
    seconds = time.perf_counter() - began
    tail = torch.stack(recent[-max(1, steps // 10) :])
    account = {
        "steps": steps,
        "units": float(seen),
        "seconds": seconds,
        "units_per_second": float(seen) / max(seconds, 1e-9),
        "loss": _finite(tail.mean(), steps - 1, steps),
        "micro_batch": stepper.micro,
    }
    if cuda:
        account["peak_device_memory_mib"] = torch.cuda.max_memory_allocated(weight.device) / 2**20
    return account | best.account()


def batches(rows: Tensor, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """``steps`` batches of at most ``size`` row numbers; each pass over all rows has a new order."""
    done = 0
    while done < steps:
        order = rows[torch.randperm(len(rows), generator=generator, device=rows.device)]
        for some in order.split(size):
            if done < steps:
                yield some
                done += 1


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Inside this context, torch's global generators (initial weights and dropout in libraries) are seeded
    from ``generator``."""
    device = generator.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator, device=device)))
        yield


def precision(device: torch.device):
    """The context in which a network computes: bfloat16 where a GPU has it, float32 elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


@dataclass(frozen=True)
class _Worth:
    """How much rows count: weight (n,), None where all are equal, times units (n,), None where each is 1."""

    weight: Tensor | None
    units: Tensor | None

    def count(self, rows: Tensor) -> Tensor | int:
        """Units of these rows."""
        return len(rows) if self.units is None else self.units[rows].sum()

    def mass(self, rows: Tensor) -> Tensor | int:
        """The sum over these rows of weight times units, up to a common factor."""
        sides = [side[rows] for side in (self.weight, self.units) if side is not None]
        if not sides:
            return len(rows)
        return (sides[0] if len(sides) == 1 else sides[0] * sides[1]).sum().clamp_min(1e-12)

    def share(self, rows: Tensor, losses: Tensor, mass: Tensor | int) -> Tensor:
        """The sum of weight times loss, up to the same factor, over the mass of the batch."""
        if self.weight is None:
            return (
                losses.mean() if self.units is None and mass == len(rows) else losses.sum() / mass
            )
        return (self.weight[rows] * losses).sum() / mass


class _Stepper:
    """Gradients of whole batches, in micro-batches that are halved when memory runs out."""

    def __init__(self, loss: RowLoss, worth: _Worth, parameters, micro: int, clip: float | None):
        self.loss, self.worth, self.parameters, self.micro, self.clip = (
            loss,
            worth,
            parameters,
            micro,
            clip,
        )

    def gradient(self, rows: Tensor) -> Tensor:
        """Leave the gradient of the batch in the parameters; the loss per unit, detached."""
        while True:
            try:
                value = self._accumulated(rows)
                break
            except torch.OutOfMemoryError:
                if self.micro == 1:
                    raise
                self.micro = (self.micro + 1) // 2
                for parameter in self.parameters:
                    parameter.grad = None
            torch.cuda.empty_cache()  # only here: inside the except clause the exception still holds tensors
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        return value

    def _accumulated(self, rows: Tensor) -> Tensor:
        mass, values = self.worth.mass(rows), []
        for some in (rows,) if len(rows) <= self.micro else rows.split(self.micro):
            with precision(rows.device):
                value = self.worth.share(some, self.loss(some), mass)
            value.backward()
            values.append(value.detach())
        return values[0] if len(values) == 1 else torch.stack(values).sum()


class _Best:
    """The parameters at which the validation loss was lowest."""

    def __init__(self, module: nn.Module, validation: Callable[[], float] | None, steps: int):
        self.module, self.validation, self.steps = module, validation, steps
        self.every = max(1, steps // CHECKS)
        self.lowest = math.inf
        self.state: dict[str, Any] | None = None
        self.at: int | None = None

    def look(self, step: int) -> None:
        if self.validation is None or ((step + 1) % self.every and step + 1 != self.steps):
            return
        self.module.eval()
        with torch.no_grad():
            value = self.validation()
        self.module.train()
        if value < self.lowest:
            self.lowest, self.state, self.at = (
                value,
                copy.deepcopy(self.module.state_dict()),
                step + 1,
            )

    def restore(self) -> None:
        if self.state is not None:
            self.module.load_state_dict(self.state)

    def account(self) -> dict[str, float]:
        return {} if self.at is None else {"stopped_at": self.at, "validation_loss": self.lowest}


def _optimiser(parameters: Iterable[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW, which decays only matrices: gains and offsets are not to be pulled to zero."""
    parameters = list(parameters)
    groups = [
        {"params": parameters, "weight_decay": 0.0}
    ]  # one group is the fastest, where nothing decays
    if schedule.decay:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": schedule.decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=schedule.lr, fused=True
    )


def _finite(value: Tensor, step: int, steps: int) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise Diverged(
            f"the training loss is {number} at step {step + 1} of {steps}; a lower lr, or clip=1, may help"
        )
    return number

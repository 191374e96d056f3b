"""The training loop of every neural model: weighted rows, a schedule, one optimiser.

A step minimises sum_r w_r loss_r / sum_r w_r units_r over its batch, where loss_r is summed over
the units of row r: the tokens of a text, or one unit for a label.  So each unit counts the same,
and a row of weight 2 counts as the row written twice.  The gradient does not depend on how a batch
is split into micro-batches.
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
from ...foreign.calls import says_out_of_memory

#: one number per row (b,): its loss, summed over its units
RowLoss = Callable[[Tensor], Tensor]
CHECKS = 20  # evaluations on the validation rows in one training


class Diverged(ArithmeticError):
    """The loss is not finite.  The message says at which step, and what to try."""


@dataclass(frozen=True)
class Schedule:
    """Length, batch size and learning rate of a training.

    Exactly one of ``steps`` and ``epochs`` is given.  An epoch reads every row once.
    """

    steps: int | None
    epochs: float | None
    batch: int  # rows per step
    lr: float  # of AdamW
    warmup: float = 0.0  # share of the steps in which the rate rises linearly from zero
    cosine: bool = False  # whether it falls to zero afterwards, along half a cosine
    decay: float = 0.0  # decoupled weight decay, of matrices only
    clip: float | None = None  # largest norm of a gradient
    micro: int | None = None  # rows per micro-batch; None: the whole batch

    def length(self, rows: int) -> int:
        """Number of steps, for a corpus of this many rows."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None  # one of the two is given
        return max(1, math.ceil(self.epochs * math.ceil(rows / self.batch) - 1e-9))

    def rate(self, step: int, steps: int) -> float:
        """The factor of ``lr`` at a step."""
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
    """Train the parameters of ``module`` that require a gradient, in place, and return an account.

    loss(rows (b,) int64): losses (b,) of these rows, each summed over its units.  weight (n,) >= 0:
    rows of weight 0 are never read.  units (n,): number of units of each row; None: 1.  validation:
    a loss on other rows; the parameters with the lowest value among ``CHECKS`` evaluations are
    kept.  Raises Diverged where the loss is not finite.

    Account: steps, units (read in total), seconds, units_per_second, loss (mean over the last tenth
    of the steps), micro_batch (rows), peak_device_memory_mib (GPU only), and with validation
    stopped_at (the step whose parameters are kept) and validation_loss.
    """
    present = torch.nonzero(weight > 0)[:, 0]
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = _optimiser(parameters, schedule)
    steps = schedule.length(len(present))
    size = min(schedule.batch, len(present))
    alike = bool((weight[present] == weight[present[0]]).all())
    worth = _Worth(None if alike else weight.float(), None if units is None else units.float())
    stepper = _Stepper(loss, worth, parameters, min(schedule.micro or size, size), schedule.clip)
    best = _Best(module, validation, steps)
    cuda = weight.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(weight.device)
    began, recent = time.perf_counter(), []
    seen: Tensor | int = 0
    module.train()
    for step, rows in enumerate(batches(present, size, steps, generator)):
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
    """``steps`` batches of at most ``size`` row numbers, in a new random order for each epoch."""
    done = 0
    while done < steps:
        order = rows[torch.randperm(len(rows), generator=generator, device=rows.device)]
        for part in order.split(size):
            if done < steps:
                yield part
                done += 1


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """A context in which torch's global generators are seeded from ``generator``.

    Libraries draw initial weights and dropout from them.
    """
    device = generator.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator, device=device)))
        yield


def precision(device: torch.device):
    """The context of a forward pass: bfloat16 on a GPU that supports it, float32 elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


@dataclass(frozen=True)
class _Worth:
    """How much each row counts: its weight times its units, both (n,).

    weight: None where all are equal.  units: None where each is 1.
    """

    weight: Tensor | None
    units: Tensor | None

    def count(self, rows: Tensor) -> Tensor | int:
        """Number of units in these rows."""
        return len(rows) if self.units is None else self.units[rows].sum()

    def mass(self, rows: Tensor) -> Tensor | int:
        """Sum of weight times units over these rows, up to a factor that all batches share."""
        sides = [side[rows] for side in (self.weight, self.units) if side is not None]
        if not sides:
            return len(rows)
        return (sides[0] if len(sides) == 1 else sides[0] * sides[1]).sum().clamp_min(1e-12)

    def share(self, rows: Tensor, losses: Tensor, mass: Tensor | int) -> Tensor:
        """Sum of weight times loss, up to the same factor, divided by the mass of the batch."""
        if self.weight is None:
            return (
                losses.mean() if self.units is None and mass == len(rows) else losses.sum() / mass
            )
        return (self.weight[rows] * losses).sum() / mass


class _Stepper:
    """Gradients of whole batches, in micro-batches whose size is halved when memory runs out."""

    def __init__(self, loss: RowLoss, worth: _Worth, parameters, micro: int, clip: float | None):
        self.loss, self.worth, self.parameters, self.micro, self.clip = (
            loss,
            worth,
            parameters,
            micro,
            clip,
        )

    def gradient(self, rows: Tensor) -> Tensor:
        """Write the gradient of the batch into the parameters, and return the loss per unit.

        Raises OutOfMemoryError, on a CPU RuntimeError, where a micro-batch of one row is too
        large.
        """
        while True:
            try:
                value = self._accumulated(rows)
                break
            except (RuntimeError, MemoryError) as problem:
                if self.micro == 1 or not says_out_of_memory(problem):
                    raise
                self.micro = (self.micro + 1) // 2
                for parameter in self.parameters:
                    parameter.grad = None
            # outside of the except clause, where the exception would still hold tensors
            torch.cuda.empty_cache()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        return value

    def _accumulated(self, rows: Tensor) -> Tensor:
        mass, values = self.worth.mass(rows), []
        for part in (rows,) if len(rows) <= self.micro else rows.split(self.micro):
            with precision(rows.device):
                value = self.worth.share(part, self.loss(part), mass)
            value.backward()
            values.append(value.detach())
        return values[0] if len(values) == 1 else torch.stack(values).sum()


class _Best:
    """Keeps the parameters with the lowest validation loss."""

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
    """AdamW with weight decay on matrices only: gains and offsets should not shrink to zero."""
    parameters = list(parameters)
    # without decay, one group is faster than two
    groups = [{"params": parameters, "weight_decay": 0.0}]
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
            f"the training loss is {number} at step {step + 1} of {steps}; "
            "try a lower lr, or clip=1"
        )
    return number

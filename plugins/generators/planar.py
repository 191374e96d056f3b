"""Densities along curves in the plane, judged by the log-likelihood of test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import DataGenerator
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.registry.hookspecs import hookimpl

EXAM = 1024  # test rows
FINE = 8  # nodes per standard deviation along a curve
CHUNK = 1 << 22  # distances at a time

Shape = Literal["blobs", "circles", "moons", "swiss-roll"]
#: shape -> (number of curves, largest speed along one as its parameter runs over (0, 1))
CURVES: dict[str, tuple[int, float]] = {
    "blobs": (3, 0.0),
    "circles": (2, 2 * math.pi),
    "moons": (2, math.pi),
    "swiss-roll": (1, 9.5),
}


@dataclass(frozen=True)
class Planar(DataGenerator):
    """A point drawn uniformly from curves in the plane, plus N(0, noise^2 I); answers (R, n, 2).

    The shapes on which Kazdan et al. (arXiv 2410.16713) let kernel density estimates read their own
    samples, in units of the radius of the outer circle: ``blobs``, three points at distance 1 from
    the origin; ``circles``, two circles of radius 1 and 1/2; ``moons``, two half circles, one of
    them turned and shifted by (1, 1/2); ``swiss-roll``, (s cos s, s sin s)/(4.5 pi) for s uniform
    between 1.5 pi and 4.5 pi.  For each seed the shape is turned by a random angle;
    ``truth_is=fixed`` does not turn it.

    Losses, from 1024 fixed test rows per seed: ``kl``, the mean of log p_true - log p_teacher, in
    nats per row, and ``nll``, the mean of -log p_teacher.  The true density is a sum over nodes
    along the curves, an eighth of ``noise`` apart.  A teacher without a density is refused.
    Diagnostic of a teacher that states its moments: ``axis_variance``, half the trace of its
    covariance.
    """

    shape: Shape = param("moons", "curves along which rows lie")
    noise: float = param(
        0.1, "standard deviation about the curves, along each axis", ge=0.01, le=10
    )
    truth_is: Literal["drawn", "fixed"] = param("drawn", "shape turned at random per seed, or not")

    kind = "density"
    family = "density"
    primary = "kl"

    def sample_truth(self, rng, nature=None):
        angle = torch.zeros(rng.chain_shape, dtype=torch.float64, device=rng.device)
        if self.truth_is == "drawn":
            angle = 2 * math.pi * rng.at("angle").uniform().double()
        data = self.with_truth(angle=angle)
        exam = rng.at("exam")
        rows = data.answer(data.ask(EXAM, exam), exam.at("rows"))
        # The test rows never change, so their true likelihood is computed once.
        entropy = -data.logp(rows[..., :0], rows)[..., 0].mean(-1)
        return self.with_truth(angle=angle, test_rows=rows, entropy=entropy)

    def ask(self, n, rng):
        return torch.empty(*rng.chain_shape, n, 0, device=rng.device)

    def answer(self, x, rng):
        n, (curves, _) = x.shape[len(rng.chain_shape)], CURVES[self.shape]
        which = (rng.at("curve").uniform(n) * curves).long().clamp_max(curves - 1)
        y = self._turned(_curve(self.shape, which, rng.at("place").uniform(n).double()))
        return y + self.noise * rng.at("noise").normal(n, 2).double()

    def logp(self, x, y):
        """Log-density of each row, nats, (R, n, 1)."""
        nodes = self._turned(self._nodes())  # (R, m, 2)
        y, nodes = y.double().reshape(-1, *y.shape[-2:]), nodes.reshape(-1, *nodes.shape[-2:])
        out, step = y.new_empty(y.shape[:2]), max(1, CHUNK // nodes.shape[-2])
        for r in range(len(y)):
            for i in range(0, y.shape[1], step):
                # One axis at a time: a sum over a last axis of length 2 takes six times as long.
                gap, other = (y[r, i : i + step, None, j] - nodes[r, :, j] for j in (0, 1))
                gap.square_().add_(other.square_())
                out[r, i : i + step] = gap.mul_(-0.5 / self.noise**2).logsumexp(-1)
        norm = math.log(nodes.shape[-2]) + 2 * math.log(self.noise) + math.log(2 * math.pi)
        return (out - norm).reshape(*self.truth.angle.shape, -1, 1)

    def mean_answer(self, x):
        mean, _ = self._moments()
        return mean[..., None, :].expand(*x.shape[:-1], 2)

    def mean_and_factor(self):
        mean, covariance = self._moments()
        return mean, torch.linalg.cholesky(covariance)

    def trivial(self):
        """N(0, I), the standard normal law in the unit of length: it does not know the shape.

        The normal law with the second moments of the shape would know too much: on circles it is
        as good as a kernel density estimate from 50 rows.
        """
        mean = torch.zeros(
            *self.truth.angle.shape, 2, dtype=torch.float64, device=self.truth.angle.device
        )
        eye = torch.eye(2, dtype=torch.float64, device=mean.device)
        return GaussianTeacher(mean, eye.expand(*mean.shape, 2))

    def losses(self, teacher, rng):
        y = self.truth.test_rows
        nll = self.truth.entropy
        if teacher is not self:
            nll = -teacher.logp(y[..., :0], y)[..., 0].mean(-1)
        return {"kl": nll - self.truth.entropy, "nll": nll}

    def diagnostics(self, teacher):
        try:
            _, factor = teacher.mean_and_factor()
        except Incompatible:
            return {}
        return {"axis_variance": factor.square().sum((-2, -1)) / 2}

    def _nodes(self) -> Tensor:
        """Points (m, 2) on the curves, as many on each, evenly spaced in its parameter."""
        curves, speed = CURVES[self.shape]
        each = max(1, math.ceil(FINE * speed / self.noise))
        place = (torch.arange(each, dtype=torch.float64) + 0.5) / each
        which = torch.arange(curves).repeat_interleave(each)
        return _curve(self.shape, which, place.repeat(curves)).to(self.truth.angle.device)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean (R, 2) and covariance (R, 2, 2)."""
        nodes = self._turned(self._nodes())
        mean = nodes.mean(-2)
        about = nodes - mean[..., None, :]
        eye = torch.eye(2, dtype=torch.float64, device=mean.device)
        return mean, about.mT @ about / nodes.shape[-2] + self.noise**2 * eye

    def _turned(self, points: Tensor) -> Tensor:
        """Points (..., n, 2), each chain's turned by its own angle, (R, n, 2)."""
        cos, sin = self.truth.angle.cos()[..., None], self.truth.angle.sin()[..., None]
        x, y = points[..., 0], points[..., 1]
        return torch.stack([cos * x - sin * y, sin * x + cos * y], -1)


def _curve(shape: str, which: Tensor, place: Tensor) -> Tensor:
    """The point at ``place`` in (0, 1) along the curve with index ``which``, (..., 2) float64."""
    which = which.double()
    if shape == "blobs":
        angle, radius = 2 * math.pi * which / 3, torch.ones_like(place)
    elif shape == "circles":
        angle, radius = 2 * math.pi * place, 1 - which / 2
    elif shape == "swiss-roll":
        angle = math.pi * (1.5 + 3 * place)
        radius = angle / (4.5 * math.pi)
    else:
        angle, radius = math.pi * (place + which), torch.ones_like(place)
    point = torch.stack([radius * angle.cos(), radius * angle.sin()], -1)
    if shape == "moons":
        point = point + which[..., None] * point.new_tensor([1.0, 0.5])
    return point


def axis_variance(shape: str) -> float:
    """Half the trace of the covariance of the curves themselves, without noise."""
    match shape:
        case "blobs":
            return 0.5
        case "circles":
            return (1 + 1 / 4) / 4
    if shape == "moons":
        # Each half circle has E|point|^2 = 1 about its centre; the centres are (0, 0) and (1, 1/2).
        second = (1 + 1 + 1 + 1 / 4 - 2 * (2 / math.pi) / 2) / 2
        mean = (1 / 2, (2 / math.pi - 2 / math.pi + 1 / 2) / 2)
        return (second - mean[0] ** 2 - mean[1] ** 2) / 2
    low, high = 1.5 * math.pi, 4.5 * math.pi
    second = (high**3 - low**3) / (3 * (high - low))
    center = [
        (f(high) - f(low)) / (high - low)
        for f in (lambda s: math.cos(s) + s * math.sin(s), lambda s: math.sin(s) - s * math.cos(s))
    ]
    return (second - center[0] ** 2 - center[1] ** 2) / 2 / high**2


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    def spread(shape, noise, M, h, k, chains):
        """The variance of an estimate with a fixed bandwidth, which depends on no other moment.

        One round too many changes it by 5.7 % or more, and the chains detect 5 %.
        """
        sigma = math.sqrt(axis_variance(shape) + noise**2)
        spec = (
            f"planar(shape={shape}, noise={noise}) | kde(rule=fixed, h={h}) | replace @ n={M} "
            f"T={k - 1}"
        )
        given = {"M": M, "h": h, "k": k, "sigma": sigma}
        return Claim("kde.var", given, spec, "axis_variance", k - 1, chains, plus=h**2)

    return [
        spread("blobs", 0.2, 40, 0.3, 5, 500),
        spread("circles", 0.2, 20, 0.3, 8, 1000),
        spread("moons", 0.1, 30, 0.25, 4, 500),
        spread("swiss-roll", 0.1, 50, 0.2, 6, 500),
    ]


@hookimpl
def collapse_generators():
    return {"planar": Planar}

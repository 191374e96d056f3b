"""Two classes and a hidden direction: the gain from verified labels is known in closed form."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from collapse_bench.core.components import (
    REPLACE,
    VERIFIED,
    Composition,
    Teacher,
)
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.laws.claims import Claim, frozen, pure
from collapse_bench.lib.linear.classification import LinearClassifier
from collapse_bench.lib.moving import Moving, Path
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import verification, worlds

EXAM = 2048  # test questions for a teacher that is not linear
WORDS = 4  # coordinates of a question that are hashed to a uniform number


@dataclass(frozen=True)
class HalfSpace(Moving):
    """Questions x (R, n, d) float32 with labels (R, n) 0 or 1, split along a random direction.

    ``inputs=clusters``: x = +-mu + z with z ~ N(0, I) and |mu|^2 = mu2; the true label of a row is
    the sign of its mu (the setting of Feng et al., arXiv 2406.07515).  The question does not
    determine the label:  the best classifier is the side of the hyperplane, with error rate
    Phi(-|mu|).  A question still has one true label: it is 1 with probability 1/(1 + e^(-2 mu.x)),
    decided by a hash of the question under a key drawn per seed.  Without the key a method cannot
    know more than this probability.  ``inputs=isotropic``: x ~ N(0, I), the true label is the side
    of x, and the best error is 0.

    The verifier accepts true labels.  With ``verifier`` set it is linear instead, with a direction
    at that angle to the truth.  With ``tilt`` set this is a flawed first teacher,
    ``first=half-space(tilt=0.5)``:  it labels by the side of a direction at that angle to the truth
    and takes everything else from the data.  The errors of source and verifier are orthogonal, so
    they are independent in any dimension.

    With ``drift`` the true direction turns by this angle in every generation, towards a direction
    drawn each time on the sphere around it; the errors of source and verifier turn with it.

    Loss ``error_rate``: probability of a wrong label on a new question.  Exact for a linear
    teacher; for any other teacher a mean over 2048 fixed questions.  Diagnostics of a linear
    teacher: accuracy, and cosine to the truth.
    """

    d: int = param(50, "dimension of a question", ge=3, le=100_000)
    inputs: Literal["clusters", "isotropic"] = param(
        "clusters", "two clusters, or one cluster divided by the hyperplane"
    )
    mu2: float = param(1.0, "squared distance of a cluster's center from the origin", ge=0, le=1000)
    verifier: float | None = param(
        None,
        "angle in radians between a linear verifier and the truth; none: a perfect verifier",
        ge=0,
        le=math.pi,
    )
    tilt: float | None = param(
        None,
        "makes it a flawed source: angle in radians between its direction and the truth",
        ge=0,
        le=math.pi,
    )
    drift: float = param(
        0.0,
        "angle in radians by which the truth turns in every generation",
        ge=0,
        le=math.pi,
        later=True,
    )

    kind = "classification"
    family = "verification"
    primary = "error_rate"
    resolution = 1e-3
    labels = 2
    linear = True

    moving = {"drift": 0.3}

    @property
    def moves(self):
        return self.drift > 0

    @property
    def distribution(self):
        return None if self.moves else "half-space"

    def incompatibility(self, cell):
        if self.tilt is not None and cell.data is self:
            return (
                "half-space with a tilt is a flawed source: "
                "give it as the first teacher, first=half-space(tilt=0.5)"
            )
        return super().incompatibility(cell)

    def sample_truth(self, rng, nature=None):
        if self.tilt is not None and nature is not None:
            if not isinstance(nature, HalfSpace):
                raise Incompatible(
                    "half-space(tilt=...) is a first teacher for half-space, and the data are "
                    f"{nature.title()}"
                )
            still = dataclasses.replace(nature, tilt=self.tilt, drift=0.0)
            return still.with_truth(**vars(nature.truth))
        # Three orthonormal directions: the truth, the error of a verifier, the error of a source.
        axes = torch.linalg.qr(rng.at("axes").normal(self.d, 3).double())[0].mT.contiguous()
        keys = rng.at("keys").integers(2**31, 1 + min(self.d, WORDS), 2)
        return self.with_truth(
            axes=axes,
            keys=(keys[..., 0] << 33) | (keys[..., 1] << 1) | 1,
            drift_rng=rng.at("drift"),
            path=Path(),
        )

    def following(self, t):
        axes = self.truth.axes
        aside, truth = self.truth.drift_rng.at(t).normal(self.d).double(), axes[..., 0, :]
        aside = aside - (aside * truth).sum(-1, keepdim=True) * truth
        aside = aside / torch.linalg.vector_norm(aside, dim=-1, keepdim=True)
        # a rotation in the plane of both; what is orthogonal to the plane stays
        plane = torch.stack([truth, aside], -2)
        c, s = math.cos(self.drift), math.sin(self.drift)
        turn = torch.tensor([[c - 1, -s], [s, c - 1]], dtype=axes.dtype, device=axes.device)
        return self.with_changed(axes=axes + axes @ plane.mT @ turn.mT @ plane)

    def ask(self, n, rng):
        z = rng.at("z").normal(n, self.d)
        if self.inputs == "isotropic":
            return z
        sign = torch.where(rng.at("sign").uniform(n) < 0.5, -1.0, 1.0)
        return (z + sign[..., None] * math.sqrt(self.mu2) * self.truth.axes[..., :1, :]).float()

    def mean_answer(self, x):
        side = self._side(x, self.tilt or 0.0, 2)
        return torch.stack([-side, side], -1)

    def answer(self, x, rng):
        return self._label(x) if self.tilt is None else (self._side(x, self.tilt, 2) > 0).long()

    def verify(self, x, y):
        if self.verifier is None:
            return y == self._label(x)
        return y == (self._side(x, self.verifier, 1) > 0)

    def trivial(self):
        """Zero weights: no direction, so that every second label is wrong."""
        axes = self.truth.axes
        return LinearClassifier(axes.new_zeros(*axes.shape[:-2], 2, self.d))

    def losses(self, teacher, rng):
        if teacher.linear:
            return {"error_rate": self._error(self._cosine(teacher))}
        x = self.ask(EXAM, rng)
        labels, chance = teacher.mean_answer(x).argmax(-1), self._chance(x)
        return {"error_rate": torch.where(labels == 1, 1 - chance, chance).mean(-1)}

    def diagnostics(self, teacher):
        if not teacher.linear:
            return {}
        cosine = self._cosine(teacher)
        return {"cosine": cosine, "accuracy": 1 - self._error(cosine)}

    def _side(self, x: Tensor, angle: float, error: int) -> Tensor:
        """Signed distance (R, n) from a hyperplane; its normal is the truth turned by ``angle``.

        It is turned towards axis ``error``.
        """
        normal = (
            math.cos(angle) * self.truth.axes[..., 0, :]
            + math.sin(angle) * self.truth.axes[..., error, :]
        )
        return (x.double() @ normal[..., None])[..., 0]

    def _chance(self, x: Tensor) -> Tensor:
        """Probability (R, n) that the true label of a question is 1, without the key."""
        side = self._side(x, 0.0, 0)
        return (
            (side > 0).double()
            if self.inputs == "isotropic"
            else (2 * math.sqrt(self.mu2) * side).sigmoid()
        )

    def _label(self, x: Tensor) -> Tensor:
        return (_uniform(x, self.truth.keys) < self._chance(x)).long()

    def _cosine(self, teacher: Teacher) -> Tensor:
        """Cosine (R,) between the truth and the direction of a linear teacher; 0 without one."""
        basis = torch.eye(self.d, dtype=torch.float64, device=self.truth.axes.device)
        # (R, d, 2)
        scores = teacher.mean_answer(basis.expand(*self.truth.axes.shape[:-2], self.d, self.d))
        w = scores[..., 1] - scores[..., 0]
        return (w * self.truth.axes[..., 0, :]).sum(-1) / w.norm(dim=-1).clamp_min(1e-300)

    def _error(self, cosine: Tensor) -> Tensor:
        if self.inputs == "isotropic":
            return cosine.clamp(-1, 1).acos() / math.pi
        return torch.special.ndtr(-math.sqrt(self.mu2) * cosine)


def _uniform(x: Tensor, keys: Tensor) -> Tensor:
    """A uniform number in (0, 1) for each question x (R, n, d), by hashing.

    Its first float32 words are multiplied by odd 64-bit keys (R, 1 + words), summed, and finalised
    as in SplitMix64.
    """
    words = x[..., : keys.shape[-1] - 1].float().contiguous().view(torch.int32).long()
    z = keys[..., :1] + (words * keys[..., None, 1:]).sum(-1)
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        z = (z ^ _shifted(z, shift)) * factor
    return (_shifted(z ^ _shifted(z, 31), 12) + 0.5) * 2.0**-52


def _shifted(z: Tensor, by: int) -> Tensor:
    """Logical shift to the right of int64: the high bits become 0, whatever the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


# -- laws ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    """What a generation reads of N labelled rows.

    Right rows are kept with probability phi, wrong ones with psi, and at most ``most`` of them are
    read.  ``real`` rows with true labels join them, and are kept with probability phi too.
    """

    N: int
    phi: float = 1.0
    psi: float = 1.0
    most: int | None = None
    real: int = 0

    @classmethod
    def of(cls, cell):
        """The reading of a cell, or None for protocols and mitigations without a law."""
        acts = [act for act in cell.mitigations if not act.control]
        if cell.growth or cell.protocol.decode is not None:
            return None
        rule, verifiers = cell.protocol, [act.verifies for act in acts]
        if rule.composition == REPLACE and not acts:
            return cls(cell.n)
        composed = acts[0].size(cell.n, 0) if len(acts) == 1 and verifiers[0] else cell.n
        if rule.composition == REPLACE and len(acts) == 1 and verifiers[0] is not None:
            return cls(composed, *verifiers[0], cell.n if composed > cell.n else None)
        made = rule.composition
        if composed > cell.n:
            return None
        if made is not None and made == Composition(real=made.real) and len(acts) <= 1:
            real = round(made.real * cell.n) if cell.first_teacher is not None else 0
            selection = (1.0, 1.0) if not acts else verifiers[0]
            return None if selection is None else cls(cell.n - real, *selection, real=real)
        if rule.composition == VERIFIED and not acts:
            return cls(round(rule.oversample * cell.n), rule.phi, rule.psi, cell.n)
        return None

    def candidates(self, kept: float) -> int:
        """Rows before selection that leave as many as are read, if a share ``kept`` is kept."""
        return self.N if self.most is None else min(self.N, round(self.most / kept))


@hookimpl
def collapse_theory(cell):
    """Averaging in every generation, least squares in the first: deterministic equivalents.

    They hold for d well above 20 and above 20 mu2 (1 + mu2).  Where the truth turns: averaging
    under replace, and frozen.
    """
    data, reading = cell.data, _Reading.of(cell)
    apart = data.mu2 if isinstance(data, HalfSpace) and data.inputs == "clusters" else 1.0
    if (
        not isinstance(data, HalfSpace)
        or reading is None
        or data.d < max(20, 20 * apart * (1 + apart))
    ):
        return None
    laws = {"averaging": _averaging, "least-squares": _least_squares}
    law = laws.get(cell.model.estimator)
    if cell.model.estimator == "ridge-classifier":
        law = partial(_ridge, cell.model.lam)
    elif reading.real:
        return None
    if data.inputs == "isotropic":
        law = _bisecting if law is _averaging else None
    elif data.verifier is not None:
        return None
    flawed = None if cell.nature else cell.first_teacher
    if data.moves:
        return _turning(cell, law)
    if law is None or (
        flawed is not None
        and flawed.distribution != ("noisy-labels", "half-space")[law is _bisecting]
    ):
        return None
    if cell.nature:
        return [1 - next(law(data, _Reading(cell.n), None, 0))] * (cell.generations + 1)
    risks = [1 - accuracy for accuracy in law(data, reading, flawed, cell.generations)]
    made = cell.protocol.composition  # new real rows change what every later generation learns
    return risks if made is None or not made.real else [risks[0], *[math.nan] * cell.generations]


def _turning(cell, law):
    """The law where the truth turns, for a model that averages: each turn shrinks the cosine."""
    data, last = cell.data, cell.generations
    plain = pure(cell) and cell.first_teacher is None
    if law not in (_averaging, _bisecting) or not plain:
        return None
    if cell.nature or frozen(cell):
        first = 1 - next(law(data, _Reading(cell.n), None, 0))
    if cell.nature:
        whole = cell.protocol.composition == REPLACE
        return [first] * (last + 1) if whole else None
    if frozen(cell) and law is _averaging:
        cosines = [math.cos(data.drift) ** t for t in range(last + 1)]
        start = float(ndtri(1 - first))
        return [float(ndtr(-start * cosine)) for cosine in cosines]
    if frozen(cell):
        start = math.cos(math.pi * first)
        return [math.acos(start * math.cos(data.drift) ** t) / math.pi for t in range(last + 1)]
    if cell.protocol.composition != REPLACE:
        return None
    return [1 - accuracy for accuracy in law(data, _Reading(cell.n), None, last)]


def _averaging(data, reading, flawed, last):
    """Accuracy in each generation, while the typical chain represents the mean over chains.

    Cosines vary between chains with standard deviation (1 - cosine^2)^(3/2)/sqrt d, and students
    inherit the deviation of their teacher.  Near the threshold of a selection some chains become
    perfect and others inverted.  Once the curvature over that spread shifts the mean error by 1 %,
    the prediction ends (NaN).
    """
    p, size = None if flawed is None else flawed.p, math.sqrt(data.mu2)
    turn, aside = math.cos(data.drift), math.sin(data.drift) / math.sqrt(data.d)
    how = {"phi": reading.phi, "psi": reading.psi, "most": reading.most}
    spread, bias, cosine, sure = 0.0, 0.0, None, True
    for t in range(last + 1):
        accuracy = (
            worlds.turning_accuracy(t, data.mu2, data.d, reading.N, data.drift)
            if data.moves
            else verification.acc_average_iterated(t, data.mu2, data.d, reading.N, p, **how)
        )
        before, cosine = cosine, max(-1.0, min(1.0, float(ndtri(accuracy)) / size)) if size else 0.0
        if before is not None and spread:
            before, bias = turn * before, turn * bias
            spread = math.hypot(turn * spread, aside * math.sqrt(1 - before**2))
            low, high = (
                verification.taught_cosine(
                    max(-1.0, min(1.0, before + side)), data.mu2, data.d, reading.N, **how
                )
                for side in (-spread, spread)
            )
            bias, spread = (
                (low + high) / 2 - cosine + bias * (high - low) / (2 * spread),
                (high - low) / 2,
            )
        spread = math.hypot(spread, (1 - cosine**2) ** 1.5 / math.sqrt(data.d))
        mean = sum(float(ndtr(size * (cosine + bias + side))) for side in (-spread, spread)) / 2
        sure = sure and abs(mean - accuracy) < 0.01 * min(accuracy, 1 - accuracy)
        yield accuracy if sure else math.nan


def _least_squares(data, reading, flawed, last):
    """Accuracy of the first fit if it has enough rows; NaN after it."""
    p, phi, psi, N = 0.0, 1.0, 1.0, reading.most or reading.N
    if flawed is not None:
        p, phi, psi = flawed.p, reading.phi, reading.psi
        kept = (1 - p) * phi + p * psi
        N = reading.candidates(kept) if kept else 0
    enough = N * ((1 - p) * phi + p * psi) > data.d
    yield verification.acc_ols(p, phi, psi, data.mu2, data.d, N) if enough else math.nan
    yield from [math.nan] * last


def _ridge(lam, data, reading, flawed, last):
    """Accuracy of the first fit with a penalty, to real and kept rows; NaN after it."""
    p, phi, psi = (0.0, 1.0, 1.0) if flawed is None else (flawed.p, reading.phi, reading.psi)
    kept, real = (1 - p) * phi + p * psi, reading.real * phi
    N = reading.most or reading.N
    if flawed is not None and kept:
        N = reading.candidates(kept)
    read = N * kept + real > 0
    law = verification.acc_ridge
    yield law(p, phi, psi, data.mu2, data.d, N, lam, real) if read else math.nan
    yield from [math.nan] * last


def _bisecting(data, reading, flawed, last):
    """Accuracy of averaging for isotropic inputs, with or without selection by the verifier.

    s is the cosine between a teacher and the truth, r that between a teacher and the verifier,
    which turns with the truth.
    """
    turn = math.cos(data.drift)
    verifier = math.cos(data.verifier or 0.0)
    selected = (reading.phi, reading.psi) == (1, 0)
    s = 1.0 if flawed is None else math.cos(flawed.tilt or 0.0)
    r = s * verifier
    for t in range(last + 1):
        s, r = (turn * s, r + verifier * (turn - 1) * s) if t else (s, r)
        if reading.phi == reading.psi == 1 or (t == 0 and flawed is None):
            blur = verification.halfspace_rows(0.0, 0.0, reading.most or reading.N, data.d)
            shrink = math.cos(math.pi * (1 - blur))
            s, r = s * shrink, r * shrink
        elif selected:
            kept = 1 - math.acos(max(-1.0, min(1.0, r))) / math.pi
            if kept > 1e-9:
                candidates = reading.candidates(kept)
                s, r = verification.selected_cosines(s, r, verifier, candidates, data.d)
            else:
                s = r = math.nan
        else:
            s = r = math.nan
        yield 1 - math.acos(max(-1.0, min(1.0, s))) / math.pi if not math.isnan(s) else math.nan


@hookimpl
def collapse_claims():
    def one(law, given, spec, t=0, chains=200):
        return Claim(
            f"verification.{law}",
            given,
            f"half-space({spec}",
            "error_rate",
            t,
            chains,
            times=-1.0,
            plus=1.0,
        )

    def clusters(law, model, p, phi, psi, mu2, d, N, read):
        """``read`` is the protocol and selection; {rule} stands for phi and psi."""
        given = {"p": p, "phi": phi, "psi": psi, "mu2": mu2, "d": d, "N": N}
        n = round(((1 - p) * phi + p * psi) * N) if "oversample=2" in read else N
        how = read.format(rule=f"phi={phi}, psi={psi}")
        return one(
            law, given, f"d={d}, mu2={mu2}) | {model} | {how} @ n={n} T=0 first=noisy-labels(p={p})"
        )

    def tilted(tg, tv, N, d, chains):
        spec = (
            f"d={d}, inputs=isotropic, verifier={tv}) | averaging | replace | "
            f"oracle-verify(refill=1) @ n={N} T=0"
        )
        given = {"tg": tg, "tv": tv, "N": N, "d": d}
        return one("halfspace_rows", given, f"{spec} first=half-space(tilt={tg})", chains=chains)

    def agreed(t, tg, tv, N, d, chains):
        spec = (
            f"d={d}, inputs=isotropic, verifier={tv}) | averaging | replace | "
            f"oracle-verify(refill=1) @ n={N} T=4 first=half-space(tilt={tg})"
        )
        given = {"t": t, "tg": tg, "tv": tv, "N": N, "d": d}
        return one("halfspace_iterated", given, spec, t, chains)

    def penalised(p, phi, psi, mu2, d, n, lam, share, chains):
        """Real rows and selected synthetic rows in one fit."""
        real = round(share * n)
        given = {"p": p, "phi": phi, "psi": psi, "mu2": mu2, "d": d, "N": n - real, "lam": lam}
        spec = (
            f"d={d}, mu2={mu2}) | least-squares(lam={lam}) | mix(real={share}) | "
            f"oracle-verify(phi={phi}, psi={psi}, refill=1) @ n={n} T=0 first=noisy-labels(p={p})"
        )
        return one("acc_ridge", {**given, "real": real * phi}, spec, 0, chains)

    def iterated(spec, t, chains=200, **given):
        spec = f"d={given['d']}, mu2={given['mu2']}) | averaging | {spec}"
        return one("acc_average_iterated", {"t": t, **given}, spec, t, chains)

    filtered, oversampled, verified = (
        "verify-filter(oversample=1, {rule})",
        "verify-filter(oversample=2, {rule})",
        "replace | oracle-verify({rule}, refill=1)",
    )

    def turning(law, how, mu2, d, N, angle, t):
        given = {"t": t, "mu2": mu2, "d": d, "N": N, "angle": angle}
        spec = f"half-space(d={d}, mu2={mu2}, drift={angle}) | averaging | {how} @ n={N} T={t}"
        more = {"times": -1.0, "plus": 1.0}
        return Claim(f"worlds.{law}", given, spec, "error_rate", t, 400, **more)

    pairs = ("acc_average", "averaging"), ("acc_ols", "least-squares")
    return [
        *(turning("turning_accuracy", "replace", 1.0, 100, 400, 0.3, t) for t in (1, 6)),
        *(turning("turning_frozen", "replace | frozen", 1.0, 100, 400, 0.3, t) for t in (1, 6)),
        turning("turning_accuracy", "replace", 0.5, 200, 300, 0.1, 8),
        turning("turning_frozen", "mix(real=0.4) | frozen", 2.0, 200, 300, 0.2, 4),
        *(
            clusters(law, model, *setting, read)
            for law, model in pairs
            for setting, read in (
                ((0.3, 0.9, 0.3, 1.0, 100, 800), oversampled),
                ((0.45, 0.7, 0.05, 2.0, 80, 600), filtered),
                ((0.6, 0.9, 0.3, 2.0, 120, 1000), verified),
                # Above the threshold 0.75: worse than chance.
                ((0.8, 0.9, 0.3, 1.0, 100, 800), filtered),
                # No selection, above the threshold 0.5.
                ((0.6, 1.0, 1.0, 1.0, 160, 1600), verified),
            )
        ),
        tilted(0.9, 1.0, 20000, 10, 200),  # a verifier worse than the source, which still helps
        tilted(0.5, 1.2, 20000, 10, 200),  # so much worse that it harms
        # The verifier is better than the source, then worse: the classifier ends at the verifier.
        *(agreed(t, 0.9, 0.4, 4000, 50, 200) for t in (1, 4)),
        *(agreed(t, 0.3, 0.8, 4000, 50, 200) for t in (1, 4)),
        penalised(0.4, 1.0, 0.2, 1.0, 100, 400, 0.3, 0.2, 400),
        penalised(0.3, 0.8, 0.3, 1.5, 200, 150, 0.05, 0.4, 400),  # fewer rows than dimensions
        penalised(0.2, 1.0, 1.0, 1.0, 100, 600, 2.0, 0.5, 400),  # no selection
        *(iterated("replace @ n=200 T=8", t, mu2=0.25, d=80, N=200) for t in (0, 2, 8)),
        *(
            iterated(
                "replace | oracle-verify(phi=0.9, psi=0.3, refill=1) @ n=200 T=8",
                t,
                mu2=0.25,
                d=80,
                N=200,
                phi=0.9,
                psi=0.3,
            )
            for t in (2, 8)
        ),
        *(
            iterated(
                "verify-filter(oversample=2, phi=0.8, psi=0.2) @ n=400 T=4 "
                "first=noisy-labels(p=0.7)",
                t,
                mu2=1.0,
                d=160,
                N=800,
                p=0.7,
                phi=0.8,
                psi=0.2,
                most=400,
            )
            for t in (0, 1, 4)
        ),
    ]


@hookimpl
def collapse_generators():
    return {"half-space": HalfSpace}

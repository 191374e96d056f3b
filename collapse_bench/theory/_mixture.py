"""Ridge on rows of two kinds, as a deterministic equivalent: the resolvent, its fixed point and its linear response.

Rows of kind k, a share p_k of n, have covariance S_k, weight a_k and labels with noise of variance noise_k; the weights
behind the labels of the second kind are off by delta.  The objective is (1/n) sum a_i (x_i w - y_i)^2 + lam |w|^2, the
test is on the first kind, and with random features w = F v, F of shape d x m with entries N(0, 1/d), the penalty is
lam |v|^2.  The sample resolvent is as good as Q = (A + s)^-1 with

    A = p_1 t_1 S_1 + p_2 t_2 S_2,   t_k = a_k/(1 + a_k e_k),   e_k = tr(S_k Q)/n,
    s = lam,  or with features  s theta = lam d/m,  theta = 1 - tr(A Q)/m.

What the test asks for, E x'Q S_1 Q x and the like, is the derivative of these equations along A -> A + h S_1.
Derived here; the setting of Dohmatob et al., arXiv 2410.04840.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class Algebra:
    """How covariances are stored and multiplied."""

    mul: Callable
    trace: Callable
    inverse: Callable
    one: Callable

    def g(self, X, Y, Q) -> float:
        """tr X Q Y Q."""
        return float(self.trace(self.mul(self.mul(X, Q), self.mul(Y, Q))))


#: covariances that share their axes, as vectors of eigenvalues: linear in d
DIAGONAL = Algebra(np.multiply, np.sum, np.reciprocal, np.ones_like)
#: any covariances, as matrices
DENSE = Algebra(np.matmul, np.trace, np.linalg.inv, lambda S: np.eye(len(S)))


@dataclass(frozen=True)
class Mixture:
    """Rows of two kinds and a ridge."""

    S: tuple[np.ndarray, np.ndarray]
    rows: tuple[int, int]
    a: tuple[float, float]
    lam: float
    m: int | None
    algebra: Algebra

    @property
    def n(self) -> int:
        return sum(self.rows)

    @property
    def p(self) -> np.ndarray:
        return np.array(self.rows, float) / self.n

    def at(self, e: np.ndarray, s: float):
        """(t, A, Q) at given e and s."""
        t = np.array(self.a) / (1 + np.array(self.a) * e)
        A = self.p[0] * t[0] * self.S[0] + self.p[1] * t[1] * self.S[1]
        return t, A, self.algebra.inverse(A + s * self.algebra.one(A))

    def settle(self, s: float, e: np.ndarray) -> np.ndarray:
        """The fixed point e at given s, from a guess: Newton's method in ln e, shortened until it improves.

        The map is monotone and grows slower than its argument: the fixed point is unique and the Jacobian never
        singular, so that some step always improves.  Plain iteration creeps where n is near d and lam small.
        """
        off, slope = self._step(s, e)
        for _ in range(200):
            worst = np.abs(off).max()
            if worst < 1e-14:
                break
            newton = np.linalg.solve(np.eye(2) - slope, off)
            newton *= min(1.0, 5 / np.abs(newton).max())
            for _ in range(20):
                trial = e * np.exp(newton)
                off, slope = self._step(s, trial)
                if np.abs(off).max() < worst:
                    break
                newton = newton / 2
            else:  # no digit is left to be gained
                break
            e = trial
        if worst > 1e-10:
            raise ArithmeticError(f"the fixed point did not settle at s = {s}, off by {worst:.1e}")
        return e

    def _step(self, s: float, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far ln e is from its image, (2,), and the slope of the image's logarithm in ln e, (2, 2)."""
        t, _, Q = self.at(e, s)
        image = np.array([self.algebra.trace(self.algebra.mul(S, Q)) for S in self.S]) / self.n
        return np.log(image / e), self._coupling(Q) * (self.p * t**2 * e) / (
            self.n * image[:, None]
        )

    def _coupling(self, Q) -> np.ndarray:
        """tr S_k Q S_j Q, (2, 2)."""
        return np.array([[self.algebra.g(X, Y, Q) for Y in self.S] for X in self.S])

    def solve(self):
        """(t, A, Q, s) of the fixed point."""
        g = self.algebra
        d = g.trace(g.one(self.S[0]))
        e = np.array([g.trace(S) for S in self.S]) / (self.n * (self.lam + 1))
        if self.m is None:
            e, s = self.settle(self.lam, e), self.lam
            return (*self.at(e, s), s)
        target = self.lam * d / self.m

        def excess(
            y,
        ):  # s theta / target - 1; the trivial root s = infinity of a joint iteration is not met here
            nonlocal e
            s = np.exp(y)
            e = self.settle(s, e)
            _, A, Q = self.at(e, s)
            return s / target * (1 - g.trace(g.mul(A, Q)) / self.m) - 1

        low = high = np.log(target)  # theta <= 1, hence s >= target
        while excess(high) < 0:
            low, high = high, high + 3
        y = scipy.optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-14) if high > low else high
        s = float(np.exp(y))
        return (*self.at(self.settle(s, e), s), s)

    def risk(self, Gamma, Delta, noise: tuple[float, float]) -> float:
        """Excess risk on the first kind."""
        return sum(self.parts(Gamma, Delta, noise))

    def parts(self, Gamma, Delta, noise: tuple[float, float]) -> tuple[float, float, float]:
        """Bias over the prior Gamma, variance, and what the wrong labels cost: the three terms of the excess risk."""
        g, p = self.algebra, self.p
        (S1, S2), (t, A, Q, s) = self.S, self.solve()
        one = g.one(A)
        dt, ds = self._response(t, A, Q, s)
        push = S1 + p[0] * dt[0] * S1 + p[1] * dt[1] * S2  # d(Q^-1)/dh less ds
        sQ, AQ = s * Q, g.mul(A, Q)  # sQ = 1 - AQ
        bias = g.trace(g.mul(Gamma, g.mul(g.mul(sQ, push), sQ) + ds * g.mul(AQ, g.mul(Q, A))))
        variance = p @ (np.array(noise) * dt)
        x = p[1] * t[1] * g.mul(S2, Q)  # (d, d): how much of the second kind's weights is learned
        xT = p[1] * t[1] * g.mul(Q, S2)
        spread = g.mul(g.mul(one - x, p[1] * dt[1] * S2), one - xT)
        learned = g.mul(g.mul(x, S1 + p[0] * dt[0] * S1 + ds * one), xT)
        return float(bias), float(variance), float(g.trace(g.mul(Delta, spread + learned)))

    def _response(self, t, A, Q, s) -> tuple[np.ndarray, float]:
        """(dt_1, dt_2) and ds per unit of h."""
        g, one = self.algebra, self.algebra.one(A)
        pull = t**2 / self.n
        with_one = np.array([g.g(S, one, Q) for S in self.S])
        coupling = self._coupling(Q)
        system, given = np.eye(3), np.append(pull * coupling[:, 0], 0.0)
        system[:2, :2] -= pull[:, None] * coupling * self.p
        system[:2, 2] = -pull * with_one
        if self.m is not None:
            theta = 1 - g.trace(g.mul(A, Q)) / self.m
            system[2] = [*(-s / self.m * with_one * self.p), theta / s + g.g(A, one, Q) / self.m]
            given[2] = s / self.m * with_one[0]
        *dt, ds = np.linalg.solve(system, given)
        return np.array(dt), float(ds)

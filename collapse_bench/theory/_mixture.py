"""Ridge on rows of two kinds, by a deterministic equivalent.

Rows of kind k are a share p_k of all n rows.  They have covariance S_k, sample weight a_k and label
noise of variance noise_k.  The true weights of the second kind differ from those of the first by
delta.  The objective is (1/n) sum a_i (x_i w - y_i)^2 + lam |w|^2, and the test is on the first
kind.  With random features, w = F v for F of shape d x m with entries N(0, 1/d), and the penalty is
lam |v|^2.  The deterministic equivalent of the sample resolvent is Q = (A + s)^-1 with

    A = p_1 t_1 S_1 + p_2 t_2 S_2,   t_k = a_k/(1 + a_k e_k),   e_k = tr(S_k Q)/n,
    s = lam,  or with features  s theta = lam d/m,  theta = 1 - tr(A Q)/m.

The excess risk needs terms such as E x'Q S_1 Q x.  They are derivatives of these equations along
A -> A + h S_1, so one linear solve gives them all.  Equal covariances are Theorem 1 of Dohmatob et
al., arXiv 2410.04840; two covariances without a ridge are in Yang et al., arXiv 2010.11750; no
published form was found of all cases together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class Algebra:
    """The matrix operations for one way of storing covariances."""

    mul: Callable
    trace: Callable
    inverse: Callable
    one: Callable

    def g(self, X, Y, Q) -> float:
        """tr X Q Y Q."""
        return float(self.trace(self.mul(self.mul(X, Q), self.mul(Y, Q))))


#: Covariances that share their axes, stored as vectors of eigenvalues.  Cost is linear in d.
DIAGONAL = Algebra(np.multiply, np.sum, np.reciprocal, np.ones_like)
#: Arbitrary covariances, stored as matrices.
DENSE = Algebra(np.matmul, np.trace, np.linalg.inv, lambda S: np.eye(len(S)))


@dataclass(frozen=True)
class Mixture:
    """Rows of two kinds, and a ridge penalty."""

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
        """The fixed point e (2,) at given s, starting from ``e``.  Damped Newton in ln e.

        The map is monotone and grows more slowly than its argument, so the fixed point is unique
        and the Jacobian is never singular: some shorter step always improves.  Plain fixed-point
        iteration converges very slowly when n is near d and lam is small.
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
            else:  # no step improves: the residual is at rounding level
                break
            e = trial
        if worst > 1e-10:
            raise ArithmeticError(
                f"the fixed point did not converge at s = {s} (residual {worst:.1e})"
            )
        return e

    def _step(self, s: float, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ln(image of e) - ln e, (2,), and the Jacobian of ln(image) in ln e, (2, 2)."""
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

        # Root of s theta / target - 1 in ln s.  Solving for s outside and for e inside avoids the
        # trivial root s = infinity, which a joint iteration over (s, e) can run into.
        def excess(y):
            nonlocal e
            s = np.exp(y)
            e = self.settle(s, e)
            _, A, Q = self.at(e, s)
            value = s / target * (1 - g.trace(g.mul(A, Q)) / self.m) - 1
            if np.isnan(value):
                raise ArithmeticError(
                    f"the penalty lam = {self.lam:g} is too small to compute with"
                )
            return value

        low = high = np.log(target)  # theta <= 1, so s >= target
        while excess(high) < 0:
            low, high = high, high + 3
        y = scipy.optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-14) if high > low else high
        s = float(np.exp(y))
        return (*self.at(self.settle(s, e), s), s)

    def risk(self, Gamma, Delta, noise: tuple[float, float]) -> float:
        """Excess risk on the first kind."""
        return sum(self.parts(Gamma, Delta, noise))

    def parts(self, Gamma, Delta, noise: tuple[float, float]) -> tuple[float, float, float]:
        """The three terms of the excess risk: bias over the prior Gamma, variance, wrong labels."""
        g, p = self.algebra, self.p
        (S1, S2), (t, A, Q, s) = self.S, self.solve()
        one = g.one(A)
        dt, ds = self._response(t, A, Q, s)
        push = S1 + p[0] * dt[0] * S1 + p[1] * dt[1] * S2  # d(Q^-1)/dh - ds
        sQ, AQ = s * Q, g.mul(A, Q)  # sQ = 1 - AQ
        bias = g.trace(g.mul(Gamma, g.mul(g.mul(sQ, push), sQ) + ds * g.mul(AQ, g.mul(Q, A))))
        variance = p @ (np.array(noise) * dt)
        x = p[1] * t[1] * g.mul(S2, Q)  # (d, d): the learned part of the second kind's weights
        xT = p[1] * t[1] * g.mul(Q, S2)
        spread = g.mul(g.mul(one - x, p[1] * dt[1] * S2), one - xT)
        learned = g.mul(g.mul(x, S1 + p[0] * dt[0] * S1 + ds * one), xT)
        return float(bias), float(variance), float(g.trace(g.mul(Delta, spread + learned)))

    def _response(self, t, A, Q, s) -> tuple[np.ndarray, float]:
        """The derivatives (dt_1, dt_2) and ds with respect to h."""
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

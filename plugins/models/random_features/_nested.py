"""Least squares on the first m columns of one matrix, for many m at the price of one: what double descent asks for.

A Householder factor of the widest matrix holds those of all narrower ones, and one that is built up row by row holds
those of all shorter ones.  So twenty widths cost two orthogonal factorisations, and no condition is squared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack, solve_triangular

RANK = 1e-11  # singular values below this share of the largest count as zero
BLOCK = 32  # columns that a blocked reflector holds


def shortest(A: np.ndarray, y: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    """argmin |A[:, :m] v - y| for each m of ``widths``, the v of least norm where it is open.

    A (n, M) and y (n, K) float64; widths whole numbers in [1, M]; each v is (m, K).  Next to m = n, where the condition
    is at its worst, as accurate as a singular value decomposition; where the rank is less than it could be, that is
    what is used.
    """
    M = A.shape[1]
    if not all(1 <= m <= M for m in widths):
        raise ValueError(
            f"widths must lie in [1, {M}], the columns that there are, got {list(widths)}"
        )
    told = A.any(1)  # a row of zeros says nothing about v
    if not told.all():
        A, y = A[told], y[told]
    live = np.asarray(A.any(0))  # a feature that is 0 throughout has the weight 0 in the shortest v
    held = np.cumsum(live)  # live columns among the first m
    among = sorted({int(held[m - 1]) for m in widths} - {0})
    B, n = A if live.all() else A[:, live], len(A)
    found = _tall(B, y, [m for m in among if m <= n]) | _wide(B, y, [m for m in among if m > n])
    out = []
    for m in widths:
        many = int(held[m - 1])
        v = np.zeros((m, y.shape[1]))
        if many:
            v[live[:m]] = _decomposed(B[:, :many], y) if found[many] is None else found[many]
        out.append(v)
    return out


def _tall(A: np.ndarray, y: np.ndarray, widths: list[int]) -> dict[int, np.ndarray | None]:
    """Where columns are no more than rows: R of the widest holds R of each, and so does Q^T y."""
    if not widths:
        return {}
    qr, tau, _, _ = lapack.dgeqrf(A[:, : widths[-1]], lwork=BLOCK * widths[-1])
    right, _, _ = lapack.dormqr("L", "T", qr, tau, y, lwork=BLOCK * max(1, y.shape[1]))
    return {
        m: solve_triangular(qr[:m, :m], right[:m], check_finite=False)
        if _sound(qr[:m, :m])
        else None
        for m in widths
    }


def _wide(A: np.ndarray, y: np.ndarray, widths: list[int]) -> dict[int, np.ndarray | None]:
    """Where columns are more: v = Q R^-T y with A[:, :m]^T = Q R, and each further block of rows updates Q and R."""
    found: dict[int, np.ndarray | None] = {}
    n, done = len(A), 0
    R, reflectors = np.zeros((n, n), order="F"), []
    for m in widths:
        if not done:
            qr, tau, _, _ = lapack.dgeqrf(A[:, :m].T, lwork=BLOCK * n)
            R = np.asfortranarray(np.triu(qr[:n]))
        else:
            R, V, T, _ = lapack.dtpqrt(0, min(BLOCK, n), R, A[:, done:m].T)
            reflectors.append((V, T))
        done = m
        found[m] = None
        if _sound(R):
            head, tails = solve_triangular(R, y, trans="T", check_finite=False), []
            for V, T in reversed(reflectors):
                head, tail, _ = lapack.dtpmqrt(0, V, T, head, np.zeros((len(V), y.shape[1])))
                tails.append(tail)
            first = np.concatenate([head, np.zeros((len(qr) - n, y.shape[1]))])
            first, _, _ = lapack.dormqr("L", "N", qr, tau, first, lwork=BLOCK * max(1, y.shape[1]))
            found[m] = np.concatenate([first, *reversed(tails)])
    return found


def _decomposed(A: np.ndarray, y: np.ndarray) -> np.ndarray:
    U, S, Vh = np.linalg.svd(A, full_matrices=False)
    held = RANK * S[0] < S
    return Vh[held].T @ ((U[:, held].T @ y) / S[held, None])


def _sound(R: np.ndarray) -> bool:
    """Whether a triangular factor is of full rank; what is not finite goes through, and spoils its own solution."""
    diagonal = np.abs(R.diagonal())
    return not diagonal.min() <= RANK * diagonal.max()

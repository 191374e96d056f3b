"""Least squares on the first m columns of one matrix for many m, as needed for double descent.

A Householder factor of the widest matrix contains the factors of all narrower ones, and one that is
built row by row contains those of all shorter ones.  So twenty widths cost two orthogonal
factorisations, and the condition number is not squared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack, solve_triangular

RANK = 1e-11  # singular values below this share of the largest count as zero
BLOCK = 32  # columns that a blocked reflector holds


def shortest(A: np.ndarray, y: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    """argmin |A[:, :m] v - y| for each m of ``widths``; the v of least norm if not unique.

    A (n, M) and y (n, K) float64; widths are whole numbers in [1, M]; each v is (m, K).  Near m =
    n, where the condition is worst, it is as accurate as a singular value decomposition, which is
    used for matrices of deficient rank.
    """
    M = A.shape[1]
    if not all(1 <= m <= M for m in widths):
        raise ValueError(f"widths must be in [1, {M}], the number of columns, got {list(widths)}")
    nonzero = A.any(1)  # a row of zeros says nothing about v
    if not nonzero.all():
        A, y = A[nonzero], y[nonzero]
    live = np.asarray(A.any(0))  # a feature that is 0 throughout has the weight 0 in the shortest v
    held = np.cumsum(live)  # live columns among the first m
    among = sorted({int(held[m - 1]) for m in widths} - {0})
    B, n = A if live.all() else A[:, live], len(A)
    solutions = _tall(B, y, [m for m in among if m <= n]) | _wide(B, y, [m for m in among if m > n])
    out = []
    for m in widths:
        many = int(held[m - 1])
        v = np.zeros((m, y.shape[1]))
        if many:
            v[live[:m]] = (
                _decomposed(B[:, :many], y) if solutions[many] is None else solutions[many]
            )
        out.append(v)
    return out


def _tall(A: np.ndarray, y: np.ndarray, widths: list[int]) -> dict[int, np.ndarray | None]:
    """For at most as many columns as rows: R and Q^T y of the widest contain all others."""
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
    """For more columns than rows: v = Q R^-T y with A[:, :m]^T = Q R; new blocks of rows update Q,
    R."""
    solutions: dict[int, np.ndarray | None] = {}
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
        solutions[m] = None
        if _sound(R):
            head, tails = solve_triangular(R, y, trans="T", check_finite=False), []
            for V, T in reversed(reflectors):
                head, tail, _ = lapack.dtpmqrt(0, V, T, head, np.zeros((len(V), y.shape[1])))
                tails.append(tail)
            first = np.concatenate([head, np.zeros((len(qr) - n, y.shape[1]))])
            first, _, _ = lapack.dormqr("L", "N", qr, tau, first, lwork=BLOCK * max(1, y.shape[1]))
            solutions[m] = np.concatenate([first, *reversed(tails)])
    return solutions


def _decomposed(A: np.ndarray, y: np.ndarray) -> np.ndarray:
    U, S, Vh = np.linalg.svd(A, full_matrices=False)
    held = RANK * S[0] < S
    return Vh[held].T @ ((U[:, held].T @ y) / S[held, None])


def _sound(R: np.ndarray) -> bool:
    """Whether a triangular factor has full rank; non-finite ones pass and give NaN."""
    diagonal = np.abs(R.diagonal())
    return not diagonal.min() <= RANK * diagonal.max()

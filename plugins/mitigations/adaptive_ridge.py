"""Raise the ridge penalty with the noise that generations of labels have added."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class AdaptiveRidge(Mitigation):
    """lam <- lam (1 + T sum 1/T_i)^exponent, T_i the rows that each earlier generation read.

    The paper (Dohmatob, Feng and Kempe, arXiv 2402.07712): on T clean rows of a spectrum j^-beta
    and a target of source r the best penalty is T^-l, l = beta/(1 + 2 r beta); on labels of
    teachers of T_0 = T^b rows it is T^(-l min(1, b)), larger by (T/T_0)^l.  That is the order of
    the penalty ((1/T + g/T_0) sigma^2)^l, g generations of teachers, whose noise adds up.  Here T_0
    = T, where the exponent is that of clean rows and only the factor (1 + g)^l is left; so this
    method multiplies the model's own penalty, taken to be right for clean rows, by that factor.

    Stage: adapt; track: blind.  The ``exponent`` is l, 1 for a target without structure, whose best
    penalty is proportional to the noise.  The paper's teachers have no penalty; in a chain of ridge
    fits each one shrinks what the last has shrunk.  It fits protocols whose rows are all written by
    the last model.  ``tuned-penalty`` tunes on real rows instead.
    """

    version = 2
    tunings = ({"exponent": 0.25}, {"exponent": 0.5}, {"exponent": 2.0})

    exponent: float = param(
        1.0, "l, by which the best penalty of T clean rows falls as T^-l", ge=0, le=10
    )

    kinds = ("regression", "classification")

    def incompatibility(self, cell):
        model, made = cell.model, cell.protocol.composition
        if model.trained_by_steps or not getattr(model, "lam", 0.0):
            return Lacks(
                f"adaptive-ridge raises a ridge penalty, and {model.title()} has none here; choose "
                "a model with lam > 0, such as ridge(lam=0.1)"
            )
        if made is None or made.real or made.earlier != "none":
            return Lacks(
                "adaptive-ridge counts generations of labels, and needs a protocol whose rows are "
                f"all written by the last model, such as replace, not {cell.protocol.title()}"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        n = access.n
        # where it begins after generation 0, as many rows are taken to have been read before
        noise = access.t / n if access.memory is None else access.memory
        access.memory = noise + 1 / n
        return model.with_parameters(lam=model.lam * (1 + n * noise) ** self.exponent)


@hookimpl
def collapse_mitigations():
    return {"adaptive-ridge": AdaptiveRidge}

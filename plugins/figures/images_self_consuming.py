"""Generative networks trained on their own images: distance, precision, recall, and samples."""

from __future__ import annotations

import json
import math

from collapse_bench.papers.figure import SHARE, Curve, Figure, Gallery, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl

GENERATION = "generation"
MEASURES = (
    ("frechet_distance", "Fr\u00e9chet distance", "y", (0.0, math.inf)),
    ("precision_lost", "precision lost", "", SHARE),
    ("recall_lost", "recall lost", "", SHARE),
)


def images_self_consuming(scale, data=None):
    """A VAE and a diffusion model trained on their own images, replaced or half real.

    ``data`` is a folder of idx files, e.g. MNIST; None: the packaged digits.  Paper scale is meant
    for a GPU.
    """
    quick, small = scale == "quick", data is None
    named = "digits" if small else data.name
    world = (
        "pictures"
        if small
        else f"pictures(path={json.dumps(str(data))}, test={1000 if quick else 2000})"
    )
    T, chains, n = (4, 3, 1000) if quick else (9, 5, 1000 if small else 60_000)
    vae = (
        "vae(steps=800)"
        if quick
        else f"vae(latent={16 if small else 32}, width={256 if small else 512}, steps=10000)"
    )
    ddpm = "ddpm(width=128, steps=800, lr=0.01, levels=30)"
    if not quick:
        ddpm = (
            "ddpm(steps=6000, levels=100)"
            if small
            else "ddpm(net=unet, width=64, lr=0.001, steps=20000, levels=500)"
        )

    def spec(model, protocol):
        return f"{world} | {model} | {protocol} @ n={n} T={T}"

    def panel(metric, words, log, bounds):
        curves = [
            Curve(f"{name}, {short}", over_time(spec(model, protocol), metric, T))
            for name, model in (("vae", vae), ("ddpm", ddpm))
            for short, protocol in (("replaced", "replace"), ("half real", "mix(real=0.5)"))
        ]
        return Panel(words, GENERATION, words, curves, log, bounds)

    shown = tuple(range(T + 1)) if quick else tuple(range(0, T + 1, 3))
    galleries = [
        Gallery("ddpm, replaced", spec(ddpm, "replace"), shown),
        Gallery("ddpm, half real", spec(ddpm, "mix(real=0.5)"), shown),
        Gallery("vae, replaced", spec(vae, "replace"), shown),
    ]
    return Figure(
        f"Networks trained on their own images keep precision and lose recall: {named}, {n} per "
        "generation",
        "the question of Alemohammad et al. 2024 (arXiv 2307.01850)",
        [*(panel(*measure) for measure in MEASURES), *galleries],
        chains,
    )


@hookimpl
def collapse_figures():
    return {"images-self-consuming": images_self_consuming}

"""Early collapse: a rare class is lost first, in labels and in images."""

from __future__ import annotations

import json

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, over_time
from collapse_bench.registry.hookspecs import hookimpl

GENERATION = "generation"


def images_minority(scale, data=None):
    """One rare class: error of a network and recall of an autoencoder over generations.

    ``data`` is a folder of idx files, e.g. MNIST; None: the packaged digits.
    """
    quick, small = scale == "quick", data is None
    named = "digits" if small else data.name
    rare = "minority=0.02, rare"
    labels = "digits(" if small else f"idx-images(path={json.dumps(str(data))}, "
    images = "pictures(" if small else f"pictures(path={json.dumps(str(data))}, "
    network = "mlp(steps=300)" if quick else "mlp(steps=2000)"
    vae = (
        "vae(steps=800)"
        if quick
        else f"vae(latent=16, width=256, steps={4000 if small else 20000})"
    )
    labelled, drawn = (300, 1000) if small or quick else (1000, 20_000)
    T, far = (4, 8) if quick else (8, 20)

    def panel(title, y, world, model, n, T, metrics):
        """One curve for each protocol and metric."""
        curves = [
            Curve(
                f"{words}, {short}",
                over_time(f"{world} | {model} | {protocol} @ n={n} T={T}", metric, T),
            )
            for short, protocol in (("replaced", "replace"), ("half real", "mix(real=0.5)"))
            for metric, words in metrics.items()
        ]
        return Panel(title, GENERATION, y, curves, bounds=SHARE)

    return Figure(
        f"A rare class is lost first: {named}, one class reduced to 2 %",
        "early collapse after Shumailov et al. 2024 (doi 10.1038/s41586-024-07566-y)",
        [
            panel(
                f"labels recur, {labelled} images, mlp",
                "error rate",
                f"{labels}{rare}=8)",
                network,
                labelled,
                far,
                {"error_rarest_class": "rare class", "error_rate": "all"},
            ),
            panel(
                f"images recur, {drawn} images, vae",
                "recall lost",
                f"{images}{rare}=0)",
                vae,
                drawn,
                T,
                {"rarest_class_recall_lost": "rare class", "recall_lost": "all"},
            ),
        ],
        6 if quick else 16,
    )


@hookimpl
def collapse_figures():
    return {"images-minority": images_minority}

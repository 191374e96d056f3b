"""Strong model collapse on real images: labels of a weak model mixed into true labels."""

from __future__ import annotations

import json

from collapse_bench.papers.figure import SHARE, Curve, Figure, Panel, Point
from collapse_bench.registry.hookspecs import hookimpl

ROWS = "images, n"


def strong_collapse_images(scale, data=None):
    """Error on held-out images against rows and width, for shares of images with weak labels.

    ``data`` is a folder of idx files, e.g. MNIST; None: the packaged digits.
    """
    quick, small = scale == "quick", data is None
    named = "digits" if small else data.name
    world = (
        "digits"
        if small
        else f"idx-images(path={json.dumps(str(data))}, test={1000 if quick else 5000})"
    )
    sizes = (50, 100, 200, 400, 800) if small or quick else (100, 300, 1000, 3000, 10000)
    widths = (10, 30, 100, 300, 1000) if small or quick else (30, 100, 300, 1000, 3000)
    weak, chains = (20 if small else 50), (6 if quick else 16)
    shares, n = (0, 0.01, 0.1, 0.5, 1), sizes[-2]

    def features(width):
        return f"random-features(width={width}, lam=0.001)"

    def network(width):
        return f"mlp(width={width}, steps={150 if quick else 2000})"

    def point(x, model, n, p2, rows):
        protocol = f"mix(real={round(1 - p2, 9)})"
        spec = f"{world} | {model} | {protocol} @ n={n} T=0 first=weak-labeller(rows={rows})"
        return Point(x, spec, "error_rate", 0)

    def by_share(points):
        return [Curve(f"p\u2082 = {p2:g}", points(p2)) for p2 in shares]

    wide, hidden = widths[-2], widths[2]
    panels = [
        Panel(
            f"random features, width {wide}",
            ROWS,
            "error rate",
            by_share(lambda p2: [point(size, features(wide), size, p2, weak) for size in sizes]),
            "xy",
            SHARE,
        ),
        Panel(
            f"random features, {n} images",
            "random features, m",
            "error rate",
            by_share(lambda p2: [point(width, features(width), n, p2, weak) for width in widths]),
            "xy",
            SHARE,
        ),
        Panel(
            "random features, half synthetic",
            ROWS,
            "error rate",
            [
                Curve(
                    f"labeller trained on {rows} images",
                    [point(size, features(wide), size, 0.5, rows) for size in sizes],
                )
                for rows in (weak // 2, weak, 5 * weak, 25 * weak)
            ],
            "xy",
            SHARE,
        ),
        Panel(
            f"two-layer network, width {hidden}",
            ROWS,
            "error rate",
            by_share(lambda p2: [point(size, network(hidden), size, p2, weak) for size in sizes]),
            "xy",
            SHARE,
        ),
        Panel(
            f"two-layer network, {n} images",
            "hidden units",
            "error rate",
            by_share(lambda p2: [point(width, network(width), n, p2, weak) for width in widths]),
            "xy",
            SHARE,
        ),
    ]
    return Figure(
        f"Labels of a weak model mixed with true labels: {named}, labeller of {weak} images",
        "the question of Dohmatob et al. (arXiv 2410.04840)",
        panels,
        chains,
    )


@hookimpl
def collapse_figures():
    return {"strong-collapse-images": strong_collapse_images}

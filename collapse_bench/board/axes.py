"""Axes of pictures that can be read: numbers as one writes them."""

from __future__ import annotations


def plain_ticks(axis) -> None:
    """Plain numbers on a logarithmic axis of less than two decades, which has few powers of ten.

    They stand at 1, 2 and 5; and at even steps where the ends are less than a factor of five apart.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_major_locator(
            LogLocator(subs=(1, 2, 5)) if high > 5 * low else MaxNLocator(5, steps=[1, 2, 5, 10])
        )
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())

"""Readable tick labels for logarithmic axes."""

from __future__ import annotations


def plain_ticks(axis) -> None:
    """Label a logarithmic axis of less than two decades with plain numbers.

    Such an axis has too few powers of ten.  Ticks are at 1, 2 and 5 times powers of ten, or at
    even steps if the axis spans less than a factor of five.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_major_locator(
            LogLocator(subs=(1, 2, 5)) if high > 5 * low else MaxNLocator(5, steps=[1, 2, 5, 10])
        )
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())

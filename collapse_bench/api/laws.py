"""What theory predicts, and what the loop measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import theory
from ..errors import NothingMatched, UsageError
from ..laws import verify as law_checks
from ..laws.verify import Verdict
from ..registry.discovery import registry
from ..suggest import nearest
from .arguments import Paths, absolute_paths, plugin_paths


def predict(spec: str, *, plugins: Paths = ()) -> tuple[float, ...]:
    """Expected primary loss of a cell for t = 0 .. T by its law, NaN where it is unknown.

    Raises NothingMatched where the cell has no law, UsageError where its parts do not fit.
    """
    cell = registry(plugin_paths(plugins)).cell(spec)
    reason = cell.incompatibility()
    if reason is not None:
        raise UsageError(f"{cell.label}: {reason}")
    curve = registry().predicted(cell)
    if curve is None:
        raise NothingMatched(f"no law is known for {cell.label}")
    return curve


def verify_laws(
    words: str | Sequence[str] = (),
    *,
    quick: bool = False,
    n_jobs: int = 1,
    plugins: Paths = (),
    on_verdicts: Callable[[list[Verdict], int], None] | None = None,
) -> list[Verdict]:
    """Run the engine against the laws that plugins claim, and return one verdict per claim.

    words: check only laws whose names contain one of these.  quick: with fewer chains.
    on_verdicts: called with each group of verdicts and the total number of claims.  Raises
    NothingMatched where no claim is left.
    """
    parts = [words] if isinstance(words, str) else list(words)
    known = registry(plugin_paths(plugins)).claims()
    claimed = {claim.law for claim in known}
    for word in parts:
        if not any(word in law for law in claimed):
            laws = [law for law in theory.laws() if word in law]
            raise NothingMatched(
                f"no cell of the engine expresses {', '.join(laws)}; "
                f"'collapse-bench law {laws[0]}' shows what it is"
                if laws
                else f"there is no claim about {word}{nearest(word, claimed)}"
            )
    claims = [claim for claim in known if not parts or any(word in claim.law for word in parts)]
    if not claims:
        raise NothingMatched("no plugin claims a law")
    verdicts: dict[int, Verdict] = {}
    order = {id(claim): i for i, claim in enumerate(claims)}
    for group in law_checks.checked(
        law_checks.groups(claims, quick), n_jobs, absolute_paths(plugins)
    ):
        verdicts.update({order[id(verdict.claim)]: verdict for verdict in group})
        if on_verdicts is not None:
            on_verdicts(group, len(claims))
    return [verdicts[i] for i in sorted(verdicts)]

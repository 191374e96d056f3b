"""collapse-bench: a plugin-based benchmark suite for model collapse and its mitigations.

The public names are imported when first used, so that the command line starts without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; kept equal to _WHERE by a test
    from .api import Results, calibrate, cell_of, offer, results, run
    from .core.access import Access
    from .core.cell import Cell
    from .core.components import DataGenerator, Mitigation, Model, Protocol, Teacher
    from .core.corpus import Corpus
    from .core.loop import Generation, generations
    from .core.params import param
    from .core.rng import Stream
    from .errors import Incompatible, Lacks, UsageError, UserError
    from .registry.hookspecs import hookimpl

_WHERE = {
    "Access": "core.access",
    "Cell": "core.cell",
    "Corpus": "core.corpus",
    "DataGenerator": "core.components",
    "Generation": "core.loop",
    "Incompatible": "errors",
    "Lacks": "errors",
    "Mitigation": "core.components",
    "Model": "core.components",
    "Protocol": "core.components",
    "Results": "api",
    "Stream": "core.rng",
    "Teacher": "core.components",
    "UsageError": "errors",
    "UserError": "errors",
    "calibrate": "api",
    "cell_of": "api",
    "generations": "core.loop",
    "hookimpl": "registry.hookspecs",
    "offer": "api",
    "param": "core.params",
    "results": "api",
    "run": "api",
}
_OLD_NAMES = {"Refusal": "UserError", "Taps": "Access", "Unfit": "Incompatible"}
__all__ = [
    "Access",
    "Cell",
    "Corpus",
    "DataGenerator",
    "Generation",
    "Incompatible",
    "Lacks",
    "Mitigation",
    "Model",
    "Protocol",
    "Results",
    "Stream",
    "Teacher",
    "UsageError",
    "UserError",
    "__version__",
    "calibrate",
    "cell_of",
    "generations",
    "hookimpl",
    "offer",
    "param",
    "results",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("collapse-bench")
    if name in _OLD_NAMES:
        import warnings

        new = _OLD_NAMES[name]
        warnings.warn(
            f"collapse_bench.{name} is now called {new}; the old name is removed in version 0.3",
            FutureWarning,
            stacklevel=2,
        )
        return __getattr__(new)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

"""collapse-bench: a plugin-based benchmark suite for model collapse and its mitigations.

The public names are imported when first used, so that the command line starts without torch.
"""

from importlib import import_module

_WHERE = {
    "Cell": "core.cell",
    "Corpus": "core.corpus",
    "DataGenerator": "core.components",
    "Generation": "core.loop",
    "Mitigation": "core.components",
    "Model": "core.components",
    "Protocol": "core.components",
    "Refusal": "errors",
    "Results": "api",
    "Stream": "core.rng",
    "Taps": "core.access",
    "Teacher": "core.components",
    "Unfit": "errors",
    "UsageError": "errors",
    "calibrate": "api",
    "cell_of": "api",
    "generations": "core.loop",
    "hookimpl": "registry.hookspecs",
    "offer": "api",
    "param": "core.params",
    "results": "api",
    "run": "api",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__

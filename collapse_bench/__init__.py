"""collapse-bench: a plugin-based benchmark suite for model collapse and its mitigations.

The public names are imported when first used, so that the command line starts without torch.
"""

from importlib import import_module

_WHERE = {
    "Cell": "cell",
    "Corpus": "corpus",
    "DataGenerator": "nouns",
    "Generation": "engine",
    "Mitigation": "nouns",
    "Model": "nouns",
    "Protocol": "nouns",
    "Refusal": "errors",
    "Results": "api",
    "Stream": "streams",
    "Taps": "taps",
    "Teacher": "nouns",
    "Unfit": "errors",
    "UsageError": "errors",
    "calibrate": "api",
    "cell_of": "api",
    "generations": "engine",
    "hookimpl": "hookspecs",
    "offer": "api",
    "param": "nouns",
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

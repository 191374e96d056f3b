"""Optional packages: which extra brings which, and the one sentence where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import UsageError

#: extra of the distribution -> the package that the code imports when it needs the extra
EXTRAS = {
    "lora": "peft",
    "plots": "matplotlib",
    "semantic": "sentence_transformers",
    "syntax": "spacy",
}


def lacking(extra: str, what: str) -> str | None:
    """None where the package of an extra is installed, else the sentence that says what needs it
    and how to get it."""
    package = EXTRAS[extra]
    if find_spec(package) is not None:
        return None
    return (
        f"{what} needs the package {package}, which is not installed; "
        f"pip install 'collapse-bench[{extra}]' adds it"
    )


def require(extra: str, what: str) -> None:
    """Raise UsageError where the package of an extra is not installed."""
    if (sentence := lacking(extra, what)) is not None:
        raise UsageError(sentence)

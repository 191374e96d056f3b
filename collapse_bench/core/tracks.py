"""What the ledger counts, and the track that each use puts an entry on."""

from __future__ import annotations

from collections.abc import Iterable

PROTOCOL = "protocol"  #: the user name of the protocol in the ledger; all others are mitigations


#: substance -> the track of an entry whose mitigations use it, the costliest last
TRACKS = {
    "provenance_lookups": "provenance",
    "real_rows": "real",
    "verifier_calls": "verifier",
    "external_calls": "external",
}


#: counted for sequences only; the tokens of a prompt are real, those of the answer are generated
TOKENS = ("real_tokens", "prompt_tokens", "generated_tokens")


#: substance -> what it is called in messages
WORDS = {
    "real_rows": "real rows",
    "real_unique": "unique real rows",
    "real_tokens": "real tokens",
    "verifier_calls": "calls of the verifier",
    "provenance_lookups": "look-ups of provenance",
    "external_calls": "calls of models from outside",
    "generated_rows": "rows of a model",
    "generated_tokens": "tokens of a model",
    "prompt_tokens": "tokens of prompts",
    "fits": "fits",
}


SUBSTANCES = tuple(WORDS)


def joined_tracks(tracks: Iterable[str]) -> str:
    """The track of what used all these tracks together: their names joined by '+' in the order of
    ``TRACKS``, or blind."""
    used = {name for track in tracks for name in track.split("+")}
    return "+".join(name for name in TRACKS.values() if name in used) or "blind"

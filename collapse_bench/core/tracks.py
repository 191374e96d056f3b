"""What the ledger counts, and which track each use leads to."""

from __future__ import annotations

from collections.abc import Iterable

PROTOCOL = "protocol"  #: the protocol's user name in the ledger; all others are mitigations

#: substance -> the track of an entry whose mitigations use it, the most expensive last
TRACKS = {
    "first_reads": "first",
    "provenance_lookups": "provenance",
    "real_rows": "real",
    "verifier_calls": "verifier",
    "external_calls": "external",
}

#: counted for sequences only; tokens of prompts are real, tokens of synthetic answers generated
TOKENS = ("real_tokens", "prompt_tokens", "generated_tokens")

#: substance -> its name in messages
WORDS = {
    "real_rows": "real rows",
    "real_unique": "unique real rows",
    "real_tokens": "real tokens",
    "verifier_calls": "verifier calls",
    "first_reads": "reads of the first teacher",
    "provenance_lookups": "provenance look-ups",
    "external_calls": "calls of external models",
    "generated_rows": "generated rows",
    "generated_tokens": "generated tokens",
    "prompt_tokens": "prompt tokens",
    "fits": "fits",
}

SUBSTANCES = tuple(WORDS)


def joined_tracks(tracks: Iterable[str]) -> str:
    """The track of an entry that is on all these tracks.

    It is their names joined by '+' in the order of ``TRACKS``, or blind if there are none.
    """
    used = {name for track in tracks for name in track.split("+")}
    return "+".join(name for name in TRACKS.values() if name in used) or "blind"

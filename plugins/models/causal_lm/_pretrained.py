"""Networks of the transformers library: a small one with random weights, or a checkpoint.

Weights are read only from safetensors, and no code of a checkpoint is ever run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from collapse_bench.core.components import DataGenerator
from collapse_bench.core.content import cached_by_content, unchanged
from collapse_bench.errors import Incompatible
from collapse_bench.lib.sources import fetched, quiet


def small_llama(vocabulary: int, width: int, layers: int, heads: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    quiet()
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=8 * width // 3,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=1 << 15,  # rotary: no weight depends on it
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def loaded(model: Any, vocabulary: int | None) -> tuple[nn.Module, int, int]:
    """(network, id of the end, id of the start) of the checkpoint of a causal-lm.

    ``vocabulary``: random weights for that size.  Raises DataChanged where the files are no longer
    those that the id of the cell hashes.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    place, revision = model.checkpoint, model.revision
    quiet()
    how = (
        {"revision": revision, "trust_remote_code": False}
        if isinstance(place, str)
        else {"trust_remote_code": False}
    )

    def load():
        config = AutoConfig.from_pretrained(place, **how)
        if vocabulary is None:
            module = AutoModelForCausalLM.from_pretrained(
                place, config=config, dtype=torch.float32, use_safetensors=True, **how
            )
            return module, config
        config.vocab_size = vocabulary + 1
        config.bos_token_id = config.eos_token_id = config.pad_token_id = None
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32), config

    if isinstance(place, str):
        module, config = fetched(place, "causal-lm", load, "the checkpoint", revision)
    else:
        with unchanged(model):
            module, config = load()
    if vocabulary is not None:
        return module, vocabulary, vocabulary
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if ends[0] is None:
        raise Incompatible(
            f"the checkpoint {place} names no end token in its config.json (eos_token_id)"
        )
    return module, ends[0], ends[0] if config.bos_token_id is None else config.bos_token_id


def unsound(model: Any, data: DataGenerator) -> str | None:
    """Why the local checkpoint of a causal-lm is damaged or does not match the data, or None."""
    place, config = model.checkpoint, _config(model)
    if isinstance(config, str):
        return config
    longest = config.get("max_position_embeddings") or config.get("n_positions")
    if longest is not None and data.span is not None and data.span > longest:
        return (
            f"{place} reads at most {longest} tokens, and a row of {data.title()} has {data.span}"
        )
    if model.begins == "scratch":
        return None
    damage = _damage(model)
    if damage is not None:
        return damage
    size = config.get("vocab_size")
    if data.vocabulary is None or not _spoken(model, data.vocabulary):
        return (
            f"the checkpoint {place} has a vocabulary of {size} tokens, and {data.title()} has "
            "another of "
            f'{data.labels}; take text(source=..., tokenizer="{place}"), or init=scratch'
        )
    return None


@cached_by_content(maxsize=16)
def _config(model: Any) -> dict[str, Any] | str:
    place: Path = model.checkpoint
    try:
        with unchanged(model):
            config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        if isinstance(config, dict) and "model_type" in config:
            return config
        return f"{place / 'config.json'} names no model_type, as that of a transformers model does"
    except (OSError, ValueError) as problem:
        return f"{place / 'config.json'} cannot be read ({problem})"


@cached_by_content(maxsize=16)
def _damage(model: Any) -> str | None:
    """What is wrong with the weights of a local checkpoint."""
    from safetensors import SafetensorError, safe_open

    place: Path = model.checkpoint
    files = sorted(place.glob("*.safetensors"))
    if not files:
        return (
            f"{place} has no *.safetensors, the only supported format of weights; save it with "
            "save_pretrained"
        )
    for file in files:
        try:
            with unchanged(model), safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as problem:
            return f"the checkpoint is damaged: {file} ({problem})"
    return None


@cached_by_content(maxsize=16)
def _spoken(model: Any, vocabulary: tuple[str, ...]) -> bool:
    """Whether the tokenizer of a checkpoint assigns these ids to these tokens."""
    from transformers import AutoTokenizer

    try:
        with unchanged(model):
            own = AutoTokenizer.from_pretrained(
                model.checkpoint, trust_remote_code=False
            ).get_vocab()
    except (OSError, ValueError):
        return False
    return all(own.get(token) == i for i, token in enumerate(vocabulary))

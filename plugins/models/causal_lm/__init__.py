"""A causal language model of transformers: a small one from scratch, or a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from collapse_bench.core.components import Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.progress import report_step
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.extras import lacking
from collapse_bench.foreign.calls import says_out_of_memory
from collapse_bench.lib.distributions.decoding import PLAIN, Decoding
from collapse_bench.lib.neural.neural import AnswerLoss, Neural
from collapse_bench.lib.neural.training import RowLoss, precision, seeded, train
from collapse_bench.lib.sources import checkpoint_files, located
from collapse_bench.registry.hookspecs import hookimpl

from ._pretrained import loaded, small_llama, unsound

ROWS = 64  # sequences that are continued at a time
BUDGET = 1 << 28  # bytes of log-probabilities that are held at a time where sequences are scored


@dataclass(frozen=True)
class CausalLM(Neural):
    """P(token | tokens before it), by a decoder of transformers under next-token cross-entropy.

    Without a checkpoint it is a small Llama of ``layers``, ``width`` and ``heads`` with tied
    embeddings, and one symbol more than the data has, for the end.  With a checkpoint it has its
    architecture, its weights (unless ``init=scratch``) and its end token; its vocabulary must be
    that of the data.  Weights are read only from safetensors, and no code of a checkpoint is ever
    run.

    Each generation starts from the checkpoint (``pretrained``), from random weights (``scratch``),
    or from the previous model (``previous``).  Float32 on a CPU, bfloat16 arithmetic on GPUs that
    support it.

    It writes by sampling; with ``beam`` > 1 by beam search (Shumailov et al. 2024 use 5), to which
    decoding settings do not apply.  ``redraw`` draws all marked tokens at once, each given the
    original tokens before it, as in token editing (Zhu et al., arXiv 2412.14689).  ``lora`` (Hu et
    al., arXiv 2106.09685) needs the extra of that name.
    """

    checkpoint: Path | str | None = param(
        None, "folder or hub id of a model; none: a small Llama from scratch"
    )
    revision: str | None = param(None, "branch, tag or commit of a hub id")
    init: Literal["auto", "pretrained", "scratch", "previous"] = param(
        "auto",
        "initial weights of a generation; auto: the checkpoint if there is one, else scratch",
    )
    layers: int = param(2, "layers, without a checkpoint", ge=1)
    width: int = param(64, "hidden width, without a checkpoint", ge=4)
    heads: int = param(
        4, "attention heads, without a checkpoint; each gets an even share of the width", ge=1
    )
    loss_on: Literal["answer", "all"] = param("answer", "train on the tokens of the prompt too")
    lora: int | None = param(
        None, "rank of low-rank adapters, and only these are trained; none: all weights are", ge=1
    )
    beam: int = param(1, "beam width for generation; 1: sampling", ge=1)
    micro: int | None = param(None, "rows per forward pass; none: the whole batch", ge=1)

    kinds = ("sequence",)
    usual = {"epochs": 1}
    tiny = {"layers": 1, "width": 8, "heads": 2, "steps": 2, "batch": 16, "lr": 0.01}

    def __post_init__(self):
        super().__post_init__()
        place = located(self.checkpoint, "causal-lm: checkpoint", "the checkpoint")
        object.__setattr__(self, "checkpoint", place)
        if place is None and self.init == "pretrained":
            raise UsageError(
                "causal-lm: init=pretrained needs a checkpoint; give its path, or choose "
                "init=scratch"
            )
        if place is None and self.width % (2 * self.heads):
            raise UsageError(
                f"causal-lm: width must be a multiple of 2 heads, got width={self.width} and "
                f"heads={self.heads}; choose "
                f"width={2 * self.heads * max(1, round(self.width / (2 * self.heads)))}"
            )
        if isinstance(place, Path) and not (place / "config.json").is_file():
            raise UsageError(
                f"causal-lm: {place} has no config.json; give a folder written by save_pretrained"
            )

    def files_read(self, parameter, folder):
        return checkpoint_files(folder)

    @property
    def begins(self) -> str:
        """The initial weights of a generation: pretrained, scratch or previous."""
        return (
            self.init
            if self.init != "auto"
            else "scratch"
            if self.checkpoint is None
            else "pretrained"
        )

    @property
    def weights_average(self) -> bool:
        return self.begins != "scratch"

    def incompatibility(self, cell):
        reason = super().incompatibility(cell)
        if reason is None and not cell.data.continues_prompt:
            reason = (
                f"causal-lm continues a prompt, and the questions of {cell.data.title()} are not "
                "prompts"
            )
        if reason is None and self.lora is not None:
            reason = lacking("lora", f"causal-lm(lora={self.lora})")
        if reason is None and isinstance(self.checkpoint, Path):
            reason = unsound(self, cell.data)
        return reason

    def fit(self, corpus, rng, before=None):
        generator = rng.torch_generator()
        with seeded(generator):
            begun = self._begun(corpus, before)
            ids, predicted = begun.lines(corpus.x, corpus.y, whole=self.loss_on == "all")
            module = self._adapted(begun.module)
            account = train(
                module,
                _row_loss(module, ids, predicted, self.answer_loss),
                corpus.multiplicity,
                predicted.sum(-1),
                self.schedule,
                generator,
                self._validation(replace(begun, module=module)),
            )
        if self.lora is not None:
            module = module.merge_and_unload()
        module.requires_grad_(False)
        return replace(begun, module=module, beam=self.beam, account=account)

    def _begun(self, corpus: Corpus, before: CausalTeacher | None) -> CausalTeacher:
        """The model before training; the global generators give it its random weights."""
        V, length = corpus.labels, corpus.y.shape[-1]
        assert V is not None  # sequences have labels
        known: CausalTeacher | None = self.start or (before if self.begins == "previous" else None)
        if known is not None:
            return replace(
                known, module=copy.deepcopy(known.module).requires_grad_(True), decoding=PLAIN
            )
        if self.checkpoint is None:
            module, end, start = small_llama(V + 1, self.width, self.layers, self.heads), V, V
        else:
            module, end, start = loaded(self, V if self.begins == "scratch" else None)
        return CausalTeacher(module.to(corpus.y.device), V, end, start, length)

    def _adapted(self, module: nn.Module) -> nn.Module:
        if self.lora is None:
            return module
        from peft import LoraConfig, get_peft_model

        return get_peft_model(
            module, LoraConfig(r=self.lora, lora_alpha=2 * self.lora, target_modules="all-linear")
        )

    def _validation(self, teacher: CausalTeacher) -> Callable[[], float] | None:
        rows = self.validation_rows
        if rows is None:
            return None

        tokens = teacher.lines(rows.x, rows.y)[1].sum(-1)

        def loss() -> float:
            nats = -teacher.logp(rows.x, rows.y).sum(-1)
            return float((rows.multiplicity * nats).sum() / (rows.multiplicity * tokens).sum())

        return loss


# -- what is learnt --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CausalTeacher(Teacher):
    """A network over ids; the first V are the data's tokens, and ``end`` is the end of a text.

    Written for one run: x (n, P), y (n, L).  An empty question is replaced by the token ``start``.
    """

    module: nn.Module
    V: int
    end: int
    start: int
    length: int  # tokens of an answer at most
    decoding: Decoding = PLAIN
    beam: int = 1
    account: Mapping[str, float] = field(default_factory=dict)

    @property
    def _network(self) -> Any:
        """The module with what transformers adds to one."""
        return self.module

    @property
    def _vocabulary(self) -> int:
        return int(self._network.config.vocab_size)

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        if self.beam > 1:
            raise Incompatible(
                "causal-lm(beam=...) generates the likeliest text and ignores decoder settings; "
                "choose beam=1"
            )
        settings = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p}
        return replace(self, decoding=self.decoding.then(**settings, processor=processor))

    def blend(self, other, w):
        module = copy.deepcopy(self.module)
        with torch.no_grad():
            for mine, theirs in zip(module.parameters(), other.module.parameters(), strict=True):
                mine.lerp_(theirs, w)
        return replace(self, module=module)

    def prompts(self, x: Tensor) -> Tensor:
        """The beginning of each text, (n, P) int64; never empty."""
        return x if x.shape[-1] else x.new_full((len(x), 1), self.start)

    def lines(self, x: Tensor, y: Tensor, whole: bool = False) -> tuple[Tensor, Tensor]:
        """(ids (n, S), which of ids[:, 1:] are predicted): the tokens and the end of the answer,
        with ``whole`` the prompt as well."""
        prompt, predicted = self.prompts(x), torch.ones_like(y, dtype=torch.bool)
        predicted[:, 1:] = y[:, :-1] >= 0  # the first -1 is the end, and no other is anything
        before = predicted.new_full((len(x), prompt.shape[-1] - 1), whole)
        return torch.cat([prompt, torch.where(y < 0, self.end, y)], -1), torch.cat(
            [before, predicted], -1
        )

    def logp(self, x, y):
        if not len(x):
            return torch.zeros_like(y, dtype=torch.float64)
        ids, predicted = self.lines(x, y)
        L = y.shape[-1]
        own = self._along(ids, lambda law, rows: law.gather(-1, ids[rows, 1:, None])[..., 0])
        return torch.where(predicted[:, -L:], own[:, -L:], 0.0).double()

    def answer(self, x, rng):
        if not len(x):
            return x.new_empty(0, self.length)
        prompt = self.prompts(x)
        u = rng.uniform(len(x), self.length)
        write = self._sampled if self.beam == 1 else self._searched
        return _chunked(lambda rows: write(prompt[rows], u[rows]), len(x), ROWS, "write")

    def redraw(self, x, y, mask, rng):
        """The marked tokens drawn again, all at once, each given the tokens of ``y`` before it; the
        length stays as it is."""
        if not len(x):
            return y
        ids, _ = self.lines(x, y)
        u, L = rng.uniform(*y.shape), y.shape[-1]

        def drawn(law: Tensor, rows: slice) -> Tensor:
            law = law[:, -L:].clone()
            law[..., self.end] = -torch.inf
            return _drawn(law, u[rows])

        return torch.where(mask & (y >= 0), self._along(ids, drawn), y)

    # -- parts of the methods

    def _law(self, logits: Tensor) -> Tensor:
        """Log-probabilities of tokens and end, (..., ids) float32; -inf for unused ids."""
        ids = torch.arange(logits.shape[-1], device=logits.device)
        nothing = (ids >= self.V) & (ids != self.end)
        return logits.float().masked_fill(nothing, -torch.inf).log_softmax(-1)

    def _read(self, logits: Tensor, context: Tensor) -> Tensor:
        """The same after decoding, given the ``context (..., p)``."""
        law = self._law(logits)
        return law if self.decoding.plain else self.decoding.apply(law, context)

    def _along(self, ids: Tensor, pick: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """pick(log-probabilities (m, S - 1, ids) after each id but the last, the rows), joined."""

        def picked(rows: slice) -> Tensor:
            some = ids[rows]
            with precision(ids.device):
                logits = self.module(input_ids=some[:, :-1], use_cache=False).logits
            if self.decoding.processor is None:
                return pick(self._read(logits, some), rows)
            steps = range(logits.shape[1])  # a processor sees the tokens before each place
            return pick(
                torch.stack([self._read(logits[:, i], some[:, : i + 1]) for i in steps], 1), rows
            )

        width = 4 * self._vocabulary * (ids.shape[-1] - 1)
        return _chunked(picked, len(ids), max(1, BUDGET // width), "score")

    def _sampled(self, prompt: Tensor, u: Tensor) -> Tensor:
        """(m, L): each token by inversion at uniform ``u (m, L)``, with a cache of earlier ones."""
        written = prompt.new_full(u.shape, -1)
        alive = torch.ones_like(written[:, 0], dtype=torch.bool)
        kept, new = None, prompt
        for i in range(u.shape[-1]):
            with precision(prompt.device):
                out = self.module(
                    input_ids=new, past_key_values=kept, use_cache=True, logits_to_keep=1
                )
            token = _drawn(
                self._read(out.logits[:, -1], torch.cat([prompt, written[:, :i]], -1)), u[:, i]
            )
            alive = alive & (token != self.end)
            if not alive.any():
                break
            written[:, i] = torch.where(alive, token, -1)
            kept, new = out.past_key_values, token[:, None]
        return written

    def _searched(self, prompt: Tensor, u: Tensor) -> Tensor:
        """(m, L): the likeliest continuations that a beam search finds; ``u`` is not used."""
        P = prompt.shape[-1]
        nothing = [i for i in range(self.V, self._vocabulary) if i != self.end]
        with precision(prompt.device):
            found = self._network.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                num_beams=self.beam,
                do_sample=False,
                max_new_tokens=u.shape[-1],
                eos_token_id=self.end,
                pad_token_id=self.end,
                suppress_tokens=nothing or None,
            )[:, P:]
        over = (found == self.end).cumsum(-1) > 0
        written = prompt.new_full(u.shape, -1)
        written[:, : found.shape[-1]] = found.masked_fill(over, -1)
        return written


def _drawn(law: Tensor, u: Tensor) -> Tensor:
    """One id per law (..., K) of log-probabilities, by inversion at uniform ``u (...)``."""
    reach = law.double().exp().cumsum(-1)
    at = torch.searchsorted(reach, u[..., None] * reach[..., -1:], right=True)
    return at[..., 0].clamp_max(law.shape[-1] - 1)


@torch.no_grad()
def _chunked(make: Callable[[slice], Tensor], n: int, rows: int, work: str) -> Tensor:
    """make(rows) over n > 0 rows, ``rows`` at a time; half as many when memory runs out."""
    made, done = [], 0
    while done < n:
        try:
            made.append(make(slice(done, done + rows)))
        except (RuntimeError, MemoryError) as problem:
            if rows == 1 or not says_out_of_memory(problem):
                raise
            rows //= 2
        else:
            done = min(n, done + rows)
            report_step(work, done, n)
            continue
        torch.cuda.empty_cache()
    return torch.cat(made)


def _row_loss(
    module: nn.Module, ids: Tensor, predicted: Tensor, answer_loss: AnswerLoss
) -> RowLoss:
    """Summed loss of the tokens of each row that are predicted."""

    def loss(rows: Tensor) -> Tensor:
        some = ids[rows]
        logits = module(input_ids=some[:, :-1], use_cache=False).logits
        each = answer_loss(logits.float().log_softmax(-1).flatten(0, 1), some[:, 1:].flatten())
        return (each.unflatten(0, some[:, 1:].shape) * predicted[rows]).sum(-1)

    return loss


@hookimpl
def collapse_models():
    return {"causal-lm": CausalLM}

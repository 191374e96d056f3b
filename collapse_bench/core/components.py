"""The five roles of a plugin, as their authors see them.

Shapes: ``R`` is the leading chain dimensions (any number, also none), ``n`` the number of rows.  A
method that a teacher or a model lacks is refused with a sentence, and the pair that needed it is
skipped.

Sequences are tokens 0 .. labels - 1, padded with -1 up to the common length.  There is no end token:
the first -1 of a sequence is the event that it ends, and has a probability.  A sequence that fills the
length has no such event.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from torch import Tensor

from ..errors import Incompatible, UsageError
from .corpus import Corpus
from .params import COMPARE, allowed, fact, param
from .renamed import HasOldNames
from .rng import Stream

if TYPE_CHECKING:
    from .access import Access
    from .cell import Cell
    from .recipe import Training

#: What kind of answer a world has, and so what a model learns; y (R, n, ...) are the answers of n rows.
#:
#: - density: points (R, n, d) float; there is no question (x has width 0).  A law of y is learnt.
#: - discrete: one symbol (R, n) int64 in [0, labels); no question, or one symbol x (R, n, 1).
#: - regression: one number (R, n) float for each question x (R, n, d).
#: - classification: one label (R, n) int64 in [0, labels) for each question x (R, n, ...) float.
#: - sequence: tokens (R, n, L) int64, padded with -1, for each question x (R, n, P) of tokens.
Kind = Literal["density", "discrete", "regression", "classification", "sequence"]

#: (log-probabilities (N, K), answers (N,) int64) -> one loss per answer (N,)
AnswerLoss = Callable[[Tensor, Tensor], Tensor]

#: (log-probabilities (..., K), context (..., p) int64 or None) -> log-probabilities (..., K)
Processor = Callable[[Tensor, Tensor | None], Tensor]


# -- parameters -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Component(HasOldNames):
    """What every plugin class shares: a name, an integer version, the kinds it fits, checked parameters."""

    name: ClassVar[str] = ""  # given by the hook that offers the class
    # raise it when the same parameters give other numbers: old records become stale
    version: ClassVar[int] = 1
    # module -> digest of its code, empty for the suite's own: edited code makes records stale
    file_digests: ClassVar[Mapping[str, str]] = MappingProxyType({})
    # The kinds of data that the plugin works on, e.g. ("density",); None: all of them.  The base class's
    # ``incompatibility`` refuses the others with a sentence, so that suites skip those cells.
    kinds: ClassVar[tuple[Kind, ...] | None] = None
    OLD_NAMES = {"fits": "incompatibility"}

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (float, "float", "float | None") and type(value) in (int, float):
                value = value + 0.0  # 2 and 2.0, -0.0 and 0.0 are one parameter and give one id
                object.__setattr__(self, field.name, value)
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{self.title()}: {field.name} must be finite, got {value}")
            choices = field.metadata.get("choices")
            fine = value in choices if choices else True
            for key, (_, holds) in COMPARE.items():
                bound = field.metadata.get(key)
                if bound is not None and value is not None:
                    fine = fine and holds(value, bound)
            if not fine:
                raise UsageError(
                    f"{self.title()}: {field.name} must be {allowed(field)}, got {value}"
                )

    @classmethod
    def title(cls) -> str:
        return cls.name or cls.__name__

    def incompatibility(self, cell: Cell) -> str | None:
        """None where this plugin can take part in the cell, else one sentence that says why not."""
        if self.kinds is None or cell.data.kind in self.kinds:
            return None
        return f"{self.title()} fits {' and '.join(self.kinds)} data, and {cell.data.title()} is {cell.data.kind}"


def has_method(component: object, name: str) -> bool:
    """Whether the component's class defines a method itself; the base classes only refuse it."""
    own = getattr(type(component), name, None)
    return own is not None and not any(
        own is getattr(base, name, None) for base in (Teacher, DataGenerator, Model)
    )


# -- Teacher --------------------------------------------------------------------------------------------------------


class Teacher(HasOldNames):
    """Anything that answers.  Only ``answer`` is required; the base class refuses the rest with a sentence."""

    OLD_NAMES = {
        "expect": "mean_answer",
        "spread": "mean_and_factor",
        "sufficient": "sample_sufficient",
    }

    # True promises that mean_answer(x) is linear in x, so that risks have closed forms
    @fact
    def linear(self) -> bool:
        return False

    # what its training took, for the record: see lib.neural.training.train
    @fact
    def account(self) -> Mapping[str, float]:
        return MappingProxyType({})

    def _lacks(self, method: str, what: str) -> Incompatible:
        return Incompatible(f"{type(self).__name__} cannot {what} (it has no method {method!r})")

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Answers to the questions ``x (R, n, ...)``: ``(R, n)`` or ``(R, n, d)``."""
        raise self._lacks("answer", "answer questions")

    def mean_answer(self, x: Tensor) -> Tensor:
        """Mean answer (R, n) or (R, n, d); for classes the score of each, (R, n, C), the largest being the answer."""
        raise self._lacks("mean_answer", "state its mean answer")

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-probability of each answer as it would be decoded, nats, (R, n, L); L = 1 except for
        sequences.

        For a sequence: of each token given those before it, of the end at the first -1, 0 after that.
        """
        raise self._lacks("logp", "say how likely an answer is")

    def decoded(
        self,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        min_p: float | None = None,
        processor: Callable[[Tensor, Tensor | None], Tensor] | None = None,
    ) -> Teacher:
        """The same teacher with other decoding; None leaves a setting as it is, the last setting wins.

        processor(logp (..., K), context (..., p) int64 or None) -> (..., K) changes log-probabilities
        before the other settings; the context is the sequence so far, question first.
        """
        raise self._lacks("decoded", "be decoded in another way")

    def blend(self, other: Self, w: float) -> Teacher:
        """The teacher at (1 - w) times this one plus w times ``other``, in its own parameters."""
        raise self._lacks("blend", "be averaged with another teacher")

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        """``y`` with the marked entries drawn again given the rest."""
        raise self._lacks("redraw", "redraw a part of an answer")

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        """Mean (R, d) and covariance factor (R, d, d) of the answers of a density."""
        raise self._lacks("mean_and_factor", "state its mean and covariance")

    def sample_sufficient(self, n: Any, rng: Stream) -> Corpus:
        """n answers at once, drawn by the exact law of their sums or counts (``sampler=exact-law``).

        Where questions are symbols, n (R, C) int64 is how often each is asked.
        """
        raise self._lacks(
            "sample_sufficient", "be sampled by the exact law of its sums; choose sampler=explicit"
        )


# -- DataGenerator --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BiasedVerifier:
    """An imperfect verifier: its centre lies at the distance ``shift`` from the true parameters, and it
    passes answers within ``radius`` times the question's norm plus ``slack`` of the centre's own."""

    shift: float
    radius: float
    slack: float


@dataclass(frozen=True)
class DataGenerator(Component, Teacher):
    """The true distribution: it asks the questions, is the first teacher, and measures the losses of
    every later one.

    A plugin has its hyperparameters as fields; ``sample_truth`` returns a copy that holds the truth of
    each chain in ``self.truth``.  ``sampler`` says how answers are drawn: ``explicit`` rows, or the
    ``exact-law`` of their sums or counts; a plugin that offers the second has a field of this name.
    """

    OLD_NAMES = {
        "holding": "with_truth",
        "drawn": "sample_truth",
        "judge": "losses",
        "describe": "diagnostics",
        "near": "within",
        "continues": "continues_prompt",
    }
    # Which of the five kinds of answers this world has: it says which models fit, and in which shape
    # ``answer`` returns; see ``Kind``.
    kind: ClassVar[Kind] = "density"
    # tasks of a family are averaged first: gaussian, regression, tails, images, text
    family: ClassVar[str] = "other"
    primary: ClassVar[str] = "loss"  # which of ``losses`` is scored

    # The smallest difference of the primary loss that can be measured.  The score takes logarithms of
    # loss + floor, and the floor is at least this, so that losses near 0 do not count as large ratios.
    # Set it where rounding or a finite exam blurs the loss, e.g. to 1/rows for a share of errors.
    @fact
    def resolution(self) -> float:
        return 1e-12

    # which of ``losses`` or ``diagnostics`` is about the tail: shown next to the score
    tail_metric: ClassVar[str | None] = None
    diversity_metric: ClassVar[str | None] = None  # likewise, about diversity
    # True where the primary loss is a logarithm already, such as a log-perplexity in nats: the score
    # takes it as it is.  False: the score takes the logarithm of loss + floor.
    log_loss: ClassVar[bool] = False

    @fact
    def sampler(self) -> str:
        return "explicit"

    # how many different answers there are, for symbols and classes
    @fact
    def labels(self) -> int | None:
        return None

    # how many different questions, where each is one symbol below ``labels``
    contexts: ClassVar[int | None] = None
    # of sequences:
    # True where an answer continues its question, as a text its prompt
    continues_prompt: ClassVar[bool] = False

    # the longest question and answer together, in tokens
    @fact
    def span(self) -> int | None:
        return None

    # how each token is spelled, which a checkpoint must agree with
    vocabulary: ClassVar[tuple[str, ...] | None] = None
    # For generators that serve as a flawed first teacher (``first=``).  False: it only answers, and
    # questions and noise are those of the real world.  True: its rows are its own throughout, by its
    # ``ask`` and ``observe``, e.g. with covariates or noise that differ from the real ones.
    own_rows: ClassVar[bool] = False

    # the distribution, or the flawed source, of ``theory`` that this is, e.g. "gaussian"; laws hold for
    # the generators that declare it, whatever their name.  None: no law of another plugin asks for it
    @fact
    def distribution(self) -> str | None:
        return None

    truth: ClassVar[Any] = None

    def with_truth(self, **truth: Any) -> DataGenerator:
        """A copy that holds these truths."""
        twin = copy.copy(self)
        object.__setattr__(twin, "truth", SimpleNamespace(**truth))
        return twin

    def sample_truth(self, rng: Stream, nature: DataGenerator | None = None) -> DataGenerator:
        """A copy with the truth of each chain of ``rng`` drawn.

        ``nature`` is the real generator, where this one serves as a flawed first teacher.
        """
        return self.with_truth()

    def ask(self, n: int, rng: Stream) -> Tensor:
        """n questions, (R, n, ...); width 0 for plain densities."""
        raise NotImplementedError

    def observe(self, y: Tensor, rng: Stream) -> Tensor:
        """The answer with the world's noise on it, whoever gave it: this is what corpora hold.  By default
        the answer itself."""
        return y

    def summary(self, teacher: Teacher, n: int, rng: Stream) -> Corpus:
        """n observed answers at once, by the exact law of their sums (``sampler=exact-law``)."""
        return teacher.sample_sufficient(n, rng)

    def losses(self, teacher: Teacher, rng: Stream) -> dict[str, Tensor]:
        """Losses (R,), lower is better, ``primary`` among them, measured only by calling the teacher's
        methods."""
        raise NotImplementedError

    def diagnostics(self, teacher: Teacher) -> dict[str, Tensor]:
        """Signed quantities (R,) that laws predict; shown, never scored."""
        return {}

    @property
    def verifiable(self) -> bool:
        """Whether answers can be checked against the truth: by default, where ``verify`` is written."""
        return has_method(self, "verify")

    def verify(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether each answer is right, (R, n) bool, where truth can be checked."""
        raise Incompatible(f"{self.title()} has no way to verify an answer")

    def within(self, x: Tensor, y: Tensor, centre: BiasedVerifier) -> Tensor:
        """Whether a verifier with this centre passes each answer, (R, n) bool; the centre is the same in
        every generation."""
        raise Incompatible(
            f"{self.title()} has no true parameters that a verifier could know in part"
        )

    def identity(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Which item of a finite pool each real row is, (R, n) int64 in [0, pool_size); None: every row
        is a new draw.

        To be written together with ``pool_size`` where real rows come from a data set, so that they
        recur.  The ledger then counts different real rows: the same row twice is one.
        """
        return None

    def spell(self, y: Tensor) -> list[str]:
        """Sequences y (n, L) as text, for people to read."""
        raise Incompatible(f"{self.title()} has no way to spell its sequences")

    def remarks(self) -> list[str]:
        """Sentences for the record of every run: what could not be measured here, and why."""
        return []

    # How many different real rows there are, where they come from a data set; None: as many as are
    # drawn.  A mitigation may not ask for more than this at once.
    @fact
    def pool_size(self) -> int | None:
        return None


# -- Model ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model(Component):
    """Frozen hyperparameters and a way to learn.

    ``fit`` is all that an author writes.  What mitigations ask of a fit they ask through the methods
    below it.  The harness keeps that as a ``Recipe``, and applies it when the model is fitted: the
    author's ``with_loss``, ``with_validation`` and ``with_start`` each return a changed copy, and are
    called in this order, once for each chain where ``vectorized`` is False.  A method that is not
    written is refused with a sentence, and the pair that needed it is skipped.
    """

    OLD_NAMES = {
        "alone": "one_chain_per_job",
        "averages": "weights_average",
        "replicates": "vectorized",
    }
    # False: ``fit`` is written for one chain (no chain dimensions), and the harness slices corpora and
    # stacks answers.  True: it is written for any leading chain dimensions, and fits each chain as if
    # it were by itself.  ``collapse-bench check`` holds both to the same answers.
    vectorized: ClassVar[bool] = False

    # True where corpus.moments() or corpus.products() is all that fit needs
    @fact
    def reads_sums(self) -> bool:
        return False

    # True where one chain takes long: each chain is a job of its own, with its own checkpoint
    @fact
    def one_chain_per_job(self) -> bool:
        return False

    # False where every fit begins at random weights, so that averages of two fits mean nothing
    @fact
    def weights_average(self) -> bool:
        return True

    # False where weights of rows are obeyed in distribution only, as by a stochastic optimiser; True
    # where a row of weight 2 gives the same numbers as the row written twice
    @fact
    def exact(self) -> bool:
        return True

    # True where ``blend`` averages the predicted noise of a diffusion, and not parameters
    @fact
    def predicts_noise(self) -> bool:
        return False

    # True where a fit is a training of many steps, which validation rows can stop early
    @fact
    def trained_by_steps(self) -> bool:
        return False

    # the estimator of ``theory`` that a fit computes, e.g. "ridge"; laws hold for the models that
    # declare it, whatever their name.  None: no law speaks of this model
    @fact
    def estimator(self) -> str | None:
        return None

    def fit(self, corpus: Corpus, rng: Stream, before: Teacher | None = None) -> Teacher:
        """What is learnt from the corpus; ``before`` is the previous generation's teacher, None at the first."""
        raise NotImplementedError

    def with_loss(self, loss: AnswerLoss) -> Model:
        """The same model trained under ``loss(logp (N, K), y (N,)) -> (N,)``: one loss per answer, or token of one."""
        raise Incompatible(f"{self.title()} has no loss that can be exchanged")

    def with_validation(self, corpus: Corpus) -> Model:
        """The same model with its regularisation, or the length of its training, chosen on these rows."""
        raise Incompatible(f"{self.title()} has nothing to tune on validation rows")

    def with_start(self, teacher: Teacher, share: float = 1.0) -> Model:
        """The same model continuing from the weights of this teacher, for ``share`` of the steps of a
        fresh training.  A model that solves for its minimum has neither, and stays as it is."""
        return self

    def with_parameters(self, **values: Any) -> Model:
        """The same model with other parameters, by name."""
        return dataclasses.replace(self, **values)

    def with_after(self, change: Callable[[Teacher, Model, Corpus], Teacher]) -> Model:
        """The same model, each of whose teachers is replaced by ``change(teacher, model, corpus)``.

        ``model`` is the model that fitted the teacher, and ``corpus`` what it read.  The changed
        teacher is judged and writes the next corpus.  Not for authors of models to write.
        """
        raise self._unlifted("with_after")

    def with_training(self, training: Training) -> Model:
        """The same model fitted by ``training(model, corpus, rng, before) -> Teacher``, which calls
        ``model.fit`` as often as it likes.

        For mitigations that train something around the model: several fits, fits to parts of the
        corpus, fits to choose among.  ``model.fit`` obeys all that was asked of the
        fit, also what is asked after this call; ``model.recipe`` holds it.  Not for authors of models
        to write.
        """
        raise self._unlifted("with_training")

    def _unlifted(self, method: str) -> UsageError:
        return UsageError(
            f"{self.title()}.{method} works on the models that `adapt` receives; outside of a run, call "
            "collapse_bench.core.replicates.lift(model) first"
        )


#: what a model says about itself, and a configured model repeats
FACTS = (
    "kinds",
    "reads_sums",
    "one_chain_per_job",
    "weights_average",
    "exact",
    "predicts_noise",
    "trained_by_steps",
    "estimator",
)


# -- Mitigation -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mitigation(Component):
    """Changes what it is given, in one or more of four stages; each is the identity by default.

    A mitigation keeps nothing in itself: what it needs in a later generation it keeps in
    ``access.memory``.
    """

    OLD_NAMES = {"remembers": "applies_to_memory"}
    control: ClassVar[bool] = False  # True for controls, which are shown without a rank
    perfect_teacher: ClassVar[bool] = False  # True only for `nature`, the ceiling of a task
    # When ``curate`` acts.  False: on the whole corpus of a generation, just before the fit; the rows
    # that the protocol keeps stay as they were written.  True: on fresh synthetic rows as they are
    # written, so that what it does to them is also in the protocol's memory, and it sees each row once.
    # Set it where a choice among fresh rows must last, as in best-of-k under accumulate.
    applies_to_memory: ClassVar[bool] = False

    def steer(self, teacher: Teacher, access: Access) -> Teacher:
        """How the teacher is decoded when it writes the next corpus."""
        return teacher

    def curate(self, corpus: Corpus, access: Access) -> Corpus:
        """What the student reads: weigh rows, edit them, or add some; weight 0 takes the place of deletion."""
        return corpus

    def adapt(self, model: Model, access: Access) -> Model:
        """How the student learns."""
        return model

    def size(self, n: int, t: int) -> int:
        """How many rows generation t reads, a whole number >= 1.

        Written with a third parameter, ``size(self, n, t, memory)``, it is given what
        ``access.memory`` holds.
        """
        return n

    # -- facts that laws read -------------------------------------------------------------------------

    @property
    def row_weights(self) -> tuple[float, float] | None:
        """(weight of a real row, of a synthetic row) of a method that sets these weights and does no
        more; None for all others."""
        return None

    @property
    def verifies(self) -> tuple[float, float] | None:
        """(phi, psi) of a method that keeps right rows with probability phi, wrong ones with psi, and
        does no more; None for all others."""
        return None


def size_takes_memory(act: Mitigation) -> bool:
    """Whether ``act.size`` is written with a third parameter, for the memory of the mitigation."""
    return len(inspect.signature(act.size).parameters) > 2


# -- Protocol -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composition:
    """What a generation's corpus is made of: as many rows as the generation reads, written by the
    last teacher, but for what is said here."""

    real: float = 0.0  # the share of real rows in every corpus
    fresh: bool = True  # whether these are new in every generation, or those of the first one
    # of the rows that earlier generations wrote: none is read again, all are, or as many rows as the
    # generation reads are drawn from all that were ever written
    earlier: Literal["none", "all", "sample"] = "none"
    verified: bool = False  # whether a verifier chooses the rows among more of them


REPLACE, ACCUMULATE, VERIFIED = (
    Composition(),
    Composition(earlier="all"),
    Composition(verified=True),
)


@dataclass(frozen=True)
class Protocol(Component):
    """What the next generation reads, and what is remembered for the one after."""

    @property
    def composition(self) -> Composition | None:
        """What a corpus is made of, for laws and mitigations to read; a protocol states it by a class
        attribute or a property.  None: it is made in another way, of which no law speaks."""
        return None

    @property
    def reads_real(self) -> bool:
        """Whether corpora after generation 0 hold real rows, where generation 0 was taught by nature.

        By its composition, and True for a protocol that states none.  Methods that weigh real rows
        against synthetic ones refuse a cell where it is False.
        """
        made = self.composition
        return made is None or made.real > 0 or made.earlier != "none"

    decode: Mitigation | None = param(
        None,
        "a biased sampler, e.g. temperature(t=0.9), through which every entry but nature is read",
    )

    def compose(self, access: Access, memory: Any) -> tuple[Corpus, Any]:
        """(corpus, memory); memory is None at the first generation and survives a resume."""
        raise NotImplementedError

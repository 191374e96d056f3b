"""The five roles of a plugin, as their authors see them.

Shapes: ``R`` stands for the leading chain dimensions (any number, also none), ``n`` for the number
of rows.  Calling a method that a teacher or a model does not have raises Incompatible with a
sentence, and the cell that needs it is skipped.

Sequences are tokens 0 .. labels - 1, padded with -1 up to the common length.  There is no end
token: the first -1 of a sequence is the event that it ends, and has a probability.  A sequence that
fills the length has no such event.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from torch import Tensor

from ..errors import Incompatible, Lacking, Lacks, UsageError
from .content import same_files
from .corpus import Corpus
from .needs import lacking
from .params import COMPARE, allowed, fact, param
from .renamed import HasOldNames
from .rng import Stream

if TYPE_CHECKING:
    from .access import Access
    from .cell import Cell
    from .recipe import Training

#: What kind of answer a data generator has, and so what a model learns; y (R, n, ...) are the
#: answers of n rows.
#:
#: - density: points (R, n, d) float; there is no question (x has width 0).  A model learns the
#:   distribution of y.  Where ``labels`` is stated, the last column is a class below it.
#: - discrete: one symbol (R, n) int64 in [0, labels); no question, or one symbol x (R, n, 1).
#: - regression: one number (R, n) float for each question x (R, n, d).
#: - classification: one label (R, n) int64 in [0, labels) for each question x (R, n, ...) float.
#: - sequence: tokens (R, n, L) int64, padded with -1, for each question x (R, n, P) of tokens.
Kind = Literal["density", "discrete", "regression", "classification", "sequence"]

#: (log-probabilities (N, K), answers (N,) int64) -> one loss per answer (N,)
AnswerLoss = Callable[[Tensor, Tensor], Tensor]

#: (log-probabilities (..., K), context (..., p) int64 or None) -> log-probabilities (..., K)
Processor = Callable[[Tensor, Tensor | None], Tensor]


# -- Component -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Component(HasOldNames):
    """Base of every plugin class: a name, an integer version, kinds of data, checked parameters.

    Raises UsageError for a parameter that is out of its range.
    """

    name: ClassVar[str] = ""  # set from the hook that offers the class
    # raise it when the same parameters give different numbers: older records become stale
    version: ClassVar[int] = 1
    # module -> digest of its code, set by the registry; empty for the suite's own plugins
    file_digests: ClassVar[Mapping[str, str]] = MappingProxyType({})
    # The kinds of data that the plugin works on, e.g. ("density",); None: all of them.  The base
    # class's ``incompatibility`` refuses the others with a sentence, so that suites skip those
    # cells.
    kinds: ClassVar[tuple[Kind, ...] | None] = None
    # What else it needs, by the names of ``needs.NEEDS``, e.g. ("rows", "verify").  The base
    # class's ``incompatibility`` refuses cells that lack one.
    needs: ClassVar[tuple[str, ...]] = ()
    # True: what happens to a chain depends on the other chains of a run.  The record says so, since
    # chains are the independent unit of all statistics.  False: a chain of every cell with a plugin
    # that is not part of the suite is run by itself and compared.
    couples_chains: ClassVar[bool] = False
    OLD_NAMES = {"fits": "incompatibility"}

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (float, "float", "float | None") and type(value) in (int, float):
                value = value + 0.0  # 2 and 2.0, and -0.0 and 0.0, must give one id
                object.__setattr__(self, field.name, value)
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{self.title()}: {field.name} must be finite, got {value}")
            choices = field.metadata.get("choices")
            allowed_here = value in choices if choices else True
            for key, (_, holds) in COMPARE.items():
                bound = field.metadata.get(key)
                if bound is not None and value is not None:
                    allowed_here = allowed_here and holds(value, bound)
            if not allowed_here:
                raise UsageError(
                    f"{self.title()}: {field.name} must be {allowed(field)}, got {value}"
                )

    @classmethod
    def title(cls) -> str:
        """The name in specs and tables."""
        return cls.name or cls.__name__

    def files_read(self, parameter: str, folder: Path) -> Iterable[str] | None:
        """Names of the files that the plugin reads of the folder that a parameter holds.

        The id of a cell hashes the content of these files.  None: all files in the folder and in
        the folders in it, except hidden ones.
        """
        return None

    def incompatibility(self, cell: Cell) -> str | None:
        """None where this plugin fits the cell, else one sentence that says why not.

        A sentence of a mitigation's own counts as its choice: it scores 0 on the task, as if it did
        nothing.  ``kinds`` and ``needs`` declare what it cannot do without; a task that lacks it is
        left out of its score.
        """
        if self.kinds is not None and cell.data.kind not in self.kinds:
            kinds = " and ".join(self.kinds)
            return Lacks(
                f"{self.title()} fits {kinds} data, and {cell.data.title()} gives {cell.data.kind} "
                "data"
            )
        return lacking(self.title(), self.needs, cell, has_method)


def has_method(component: object, name: str) -> bool:
    """Whether the component's class defines a method; the base classes only raise Incompatible."""
    own = getattr(type(component), name, None)
    return own is not None and not any(
        own is getattr(base, name, None) for base in (Teacher, DataGenerator, Model)
    )


# -- Teacher ---------------------------------------------------------------------------------------


class Teacher(HasOldNames):
    """Anything that answers questions.

    Only ``answer`` is required.  The base class raises Incompatible, with a sentence, for the other
    methods.
    """

    OLD_NAMES = {
        "expect": "mean_answer",
        "spread": "mean_and_factor",
        "sufficient": "sample_sufficient",
    }

    # True: mean_answer(x) is linear in x, so that risks have closed forms
    @fact
    def linear(self) -> bool:
        return False

    # account of its training, for the record; see lib.neural.training.train
    @fact
    def account(self) -> Mapping[str, float]:
        return MappingProxyType({})

    def _lacks(self, method: str, what: str) -> Incompatible:
        name = type(self).__name__
        return Lacking(f"{name} cannot {what} (it has no method {method!r})", type(self))

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        """Answers to the questions ``x (R, n, ...)``: ``(R, n)`` or ``(R, n, d)``."""
        raise self._lacks("answer", "answer questions")

    def mean_answer(self, x: Tensor) -> Tensor:
        """Mean answers (R, n) or (R, n, d).

        For classes: scores (R, n, C), the largest of which gives the answer.
        """
        raise self._lacks("mean_answer", "state its mean answer")

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-probabilities of the answers under the teacher's decoding, in nats, (R, n, L).

        L = 1 except for sequences.  For a sequence: of each token given the tokens before it, of
        the end at the first -1, and 0 after that.
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
        """The same teacher with other decoding.  None keeps a setting; the last setting wins.

        processor(logp (..., K), context (..., p) int64 or None) -> (..., K) changes
        log-probabilities before the other settings apply.  The context is the sequence so far,
        beginning with the question.
        """
        raise self._lacks("decoded", "be decoded in another way")

    def blend(self, other: Self, w: float) -> Teacher:
        """The teacher with (1 - w) times the parameters of this one plus w times those of
        ``other``."""
        raise self._lacks("blend", "be averaged with another teacher")

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        """``y`` with the entries where ``mask`` is True drawn again, given the other entries."""
        raise self._lacks("redraw", "redraw part of an answer")

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        """Mean (R, d), and a factor A (R, d, d) of the covariance A A', of answers of a density."""
        raise self._lacks("mean_and_factor", "state its mean and covariance")

    def sample_sufficient(self, n: Any, rng: Stream) -> Corpus:
        """n answers, drawn from the exact law of their sums or counts (``sampler=exact-law``).

        Where questions are symbols, n (R, C) int64 says how often each is asked.
        """
        raise self._lacks(
            "sample_sufficient", "be sampled by the exact law of its sums; choose sampler=explicit"
        )


# -- DataGenerator ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class BiasedVerifier:
    """An imperfect verifier.

    Its centre lies at distance ``shift`` from the true parameters.  It passes answers whose
    distance from the centre's own answer is at most ``radius`` times the norm of the question plus
    ``slack``.  With ``no_better_than``, its centre moves away from the truth, where it must, until
    its error is that of this teacher.
    """

    shift: float
    radius: float
    slack: float
    no_better_than: Teacher | None = None


@dataclass(frozen=True)
class DataGenerator(Component, Teacher):
    """The true distribution.  It asks the questions, is the first teacher, and measures the losses
    of all later teachers.

    Hyperparameters are fields.  ``sample_truth`` returns a copy that holds the true parameters of
    each chain in ``self.truth``.  ``sampler`` says how answers are drawn: ``explicit`` rows, or the
    ``exact-law`` of their sums or counts.  A plugin that offers both has a field of this name.
    """

    OLD_NAMES = {
        "holding": "with_truth",
        "drawn": "sample_truth",
        "judge": "losses",
        "describe": "diagnostics",
        "near": "within",
        "continues": "continues_prompt",
    }
    # Which of the five kinds of answers it has.  The kind decides which models fit, and in which
    # shape ``answer`` returns; see ``Kind``.
    kind: ClassVar[Kind] = "density"
    # tasks of a family are averaged first: gaussian, regression, tails, images, text
    family: ClassVar[str] = "other"
    primary: ClassVar[str] = "loss"  # which of ``losses`` is scored

    # The smallest difference of the primary loss that can be measured.  The score takes logarithms
    # of loss + floor, and the floor is at least this, so that losses near 0 do not count as large
    # ratios.  Set it where rounding or a finite test set limits the loss, e.g. to 1/rows for a
    # share of errors.
    @fact
    def resolution(self) -> float:
        return 1e-12

    # which of ``losses`` or ``diagnostics`` measures the tail; shown next to the score
    tail_metric: ClassVar[str | None] = None
    diversity_metric: ClassVar[str | None] = None  # likewise, measures diversity
    # True where the primary loss is already a logarithm, such as a log-perplexity in nats: the
    # score uses it unchanged.  False: the score takes the logarithm of loss + floor.
    log_loss: ClassVar[bool] = False

    @fact
    def sampler(self) -> str:
        return "explicit"

    # the number of different answers, for symbols and classes; of a density, the number of classes
    # in the last column, if it is one
    @fact
    def labels(self) -> int | None:
        return None

    # the number of different questions, where each is one symbol below ``labels``
    contexts: ClassVar[int | None] = None
    # for sequences: True where an answer continues its question, as a text continues its prompt
    continues_prompt: ClassVar[bool] = False

    # the largest length of question plus answer, in tokens
    @fact
    def span(self) -> int | None:
        return None

    # the text of each token; a checkpoint must have the same
    vocabulary: ClassVar[tuple[str, ...] | None] = None
    # For generators that serve as a flawed first teacher (``first=``).  False: it only answers, and
    # questions and noise are those of the real data.  True: the questions and the noise are its own
    # as well, by its ``ask`` and ``observe``, e.g. covariates that differ from the real ones.
    own_rows: ClassVar[bool] = False

    # the distribution, or the flawed source, of ``theory`` that this is, e.g. "gaussian".  Laws
    # hold for all generators that declare it, whatever their name.  None: no other plugin's law
    # uses it
    @fact
    def distribution(self) -> str | None:
        return None

    # True where the distribution changes from one generation to the next; see ``at``
    @fact
    def moves(self) -> bool:
        return False

    truth: ClassVar[Any] = None  # a namespace of true parameters; see ``with_truth``

    def with_truth(self, **truth: Any) -> DataGenerator:
        """A copy that holds these values in ``self.truth``."""
        twin = copy.copy(self)
        object.__setattr__(twin, "truth", SimpleNamespace(**truth))
        return twin

    def sample_truth(self, rng: Stream, nature: DataGenerator | None = None) -> DataGenerator:
        """A copy with the true parameters of each chain of ``rng`` drawn.

        nature: the real generator, where this one serves as a flawed first teacher.
        """
        return self.with_truth()

    def at(self, t: int) -> DataGenerator:
        """The distribution of generation t, with its truth: a pure function of the seed and t.

        ``at(0)`` is the generator as ``sample_truth`` returned it.  New real rows, the losses and
        the verifier of generation t are those of ``at(t)``; rows that were drawn earlier stay as
        they are.  A generator that moves sets ``moves``; by default the distribution stands still.
        """
        return self

    def trivial(self) -> Teacher:
        """The teacher of who knows the domain and has read no row, for the chains of the truth.

        E.g. uniform symbols, zero weights, the most frequent class, a standard normal law.  Its
        losses are the worst that the score counts.  Raises Incompatible where none is stated.
        """
        raise Incompatible(f"{self.title()} states no trivial teacher (method 'trivial')")

    def ask(self, n: int, rng: Stream) -> Tensor:
        """n questions, (R, n, ...); (R, n, 0) where there is no question."""
        raise NotImplementedError

    def observe(self, y: Tensor, rng: Stream) -> Tensor:
        """Answers y with the noise of the data added, as corpora hold them; the same shape.

        It is applied to the answers of every teacher.  By default there is no noise.
        """
        return y

    def summary(self, teacher: Teacher, n: int, rng: Stream) -> Corpus:
        """n observed answers, drawn from the exact law of their sums (``sampler=exact-law``)."""
        return teacher.sample_sufficient(n, rng)

    def losses(self, teacher: Teacher, rng: Stream) -> dict[str, Tensor]:
        """Losses (R,) by name, lower is better, among them ``primary``.

        They are measured only by calling the teacher's methods.
        """
        raise NotImplementedError

    def diagnostics(self, teacher: Teacher) -> dict[str, Tensor]:
        """Signed quantities (R,) by name, which laws predict.  They are shown, never scored."""
        return {}

    @property
    def verifiable(self) -> bool:
        """Whether answers can be checked against the truth; by default, if it has ``verify``."""
        return has_method(self, "verify")

    def verify(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether each answer is right, (R, n) bool."""
        raise Lacking(f"{self.title()} cannot verify an answer", type(self))

    def within(self, x: Tensor, y: Tensor, centre: BiasedVerifier) -> Tensor:
        """Whether a verifier with this centre passes each answer, (R, n) bool.

        The centre is the same in every generation.
        """
        raise Lacking(
            f"{self.title()} has no true parameters that a verifier could know in part", type(self)
        )

    def identity(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Index of each real row in a finite pool, (R, n) int64 in [0, pool_size); None: every row
        is a new draw.

        Define it together with ``pool_size`` where real rows come from a data set and recur.
        The ledger then counts distinct real rows.
        """
        return None

    def spell(self, y: Tensor) -> list[str]:
        """Sequences y (n, L) as text, for display."""
        raise Lacking(f"{self.title()} cannot spell its sequences", type(self))

    def remarks(self) -> list[str]:
        """Sentences for the record of every run, such as what could not be measured, and why."""
        return []

    # The number of different real rows, where they come from a data set; None: every draw is new.
    # A mitigation may not draw more than this at once.
    @fact
    def pool_size(self) -> int | None:
        return None


# -- Model -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model(Component):
    """Frozen hyperparameters and a way to learn.

    Only ``fit`` is required.  Mitigations change a fit through the methods below it.  The harness
    collects their requests in a ``Recipe`` and applies it when the model is fitted: it calls the
    author's ``with_loss``, ``with_validation`` and ``with_start`` in this order, once per chain
    where ``vectorized`` is False; each returns a changed copy.  A method that the author does not
    define raises Incompatible, and the cell is skipped.
    """

    OLD_NAMES = {
        "alone": "one_chain_per_job",
        "averages": "weights_average",
        "replicates": "vectorized",
    }
    # False: ``fit`` is written for one chain, without chain dimensions; the harness slices corpora
    # and stacks answers.  True: it is written for any leading chain dimensions, and the result for
    # a chain does not depend on the others.  ``collapse-bench check`` checks that both give the
    # same answers.
    vectorized: ClassVar[bool] = False

    # True where fit reads only corpus.moments() or corpus.products()
    @fact
    def reads_sums(self) -> bool:
        return False

    # True where one chain takes long: each chain is a separate job with its own checkpoint
    @fact
    def one_chain_per_job(self) -> bool:
        return False

    # False where every fit begins at random weights, so that an average of two fits has no meaning
    @fact
    def weights_average(self) -> bool:
        return True

    # True where a row of weight 2 gives the same numbers as the row written twice; False where that
    # holds only in distribution, as under a stochastic optimiser
    @fact
    def exact(self) -> bool:
        return True

    # True where ``blend`` averages the predicted noise of a diffusion model, not parameters
    @fact
    def predicts_noise(self) -> bool:
        return False

    # True where a fit takes many steps, which validation rows can stop early
    @fact
    def trained_by_steps(self) -> bool:
        return False

    # the estimator of ``theory`` that a fit computes, e.g. "ridge".  Laws hold for all models that
    # declare it, whatever their name.  None: no law covers this model
    @fact
    def estimator(self) -> str | None:
        return None

    def fit(self, corpus: Corpus, rng: Stream, before: Teacher | None = None) -> Teacher:
        """The teacher learnt from the corpus.

        before: the teacher of the previous generation; None at the first.
        """
        raise NotImplementedError

    def with_loss(self, loss: AnswerLoss) -> Model:
        """The same model trained under another loss, ``loss(logp (N, K), y (N,)) -> (N,)``.

        An item is an answer, or one token of a sequence.
        """
        raise Lacking(f"{self.title()} has no loss that can be replaced", type(self))

    def with_validation(self, corpus: Corpus) -> Model:
        """The same model, with its regularisation or training length chosen on these rows."""
        raise Lacking(f"{self.title()} has nothing to tune on validation rows", type(self))

    def with_start(self, teacher: Teacher, share: float = 1.0) -> Model:
        """The same model, continuing from the weights of this teacher.

        share: of the steps of a training from scratch.  A model that solves for its minimum returns
        itself, as by default.
        """
        return self

    def with_parameters(self, **values: Any) -> Model:
        """The same model with other values of these parameters."""
        return same_files(self, **values)

    def with_after(self, change: Callable[[Teacher, Model, Corpus], Teacher]) -> Model:
        """The same model, each of whose teachers is replaced by ``change(teacher, model, corpus)``.

        ``model`` is the model that fitted the teacher, and ``corpus`` what it read.  The changed
        teacher is scored and writes the next corpus.  The harness implements this, not a model.
        """
        raise self._unlifted("with_after")

    def with_training(self, training: Training) -> Model:
        """The same model fitted by ``training(model, corpus, rng, before) -> Teacher``, which may
        call ``model.fit`` any number of times.

        For mitigations that need several fits, fits to parts of the corpus, or a choice among fits.
        ``model.fit`` applies all requests, also those made after this call; ``model.recipe`` holds
        them.  The harness implements this, not a model.
        """
        raise self._unlifted("with_training")

    def _unlifted(self, method: str) -> UsageError:
        return UsageError(
            f"{self.title()}.{method} works on the models that `adapt` receives; outside of a run, "
            "call collapse_bench.core.replicates.lift(model) first"
        )


#: facts that a configured model copies from its model
FACTS = (
    "kinds",
    "needs",
    "reads_sums",
    "one_chain_per_job",
    "weights_average",
    "exact",
    "predicts_noise",
    "trained_by_steps",
    "estimator",
)


# -- Mitigation ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mitigation(Component):
    """Changes one or more of four stages of a generation.  Each method is the identity by default.

    The object itself keeps no state: what a later generation needs goes into ``access.memory``.
    """

    OLD_NAMES = {"remembers": "applies_to_memory"}
    # Parameters of at most three configurations besides the default one, e.g. ({"cap": 2.0},).
    # A board ranks the one that is best on calibration seeds, next to the default.
    tunings: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    control: ClassVar[bool] = False  # True for controls, which have no rank
    perfect_teacher: ClassVar[bool] = False  # True only for `nature`, the ceiling of a task
    untrained: ClassVar[bool] = False  # True only for `trivial`, the floor of a task
    # True only for `frozen`: the teacher of generation 0 stays; laws of cells with it follow
    keeps_first: ClassVar[bool] = False
    # When ``curate`` is called.  False: on the whole corpus of a generation, just before the fit;
    # the rows in the protocol's memory stay unchanged.  True: on synthetic rows when they are
    # written, so that the memory holds the changed rows, and each row is seen once.  Set it where a
    # choice among new rows must last, as in best-of-k under accumulate.
    applies_to_memory: ClassVar[bool] = False

    def steer(self, teacher: Teacher, access: Access) -> Teacher:
        """The teacher as it writes the next corpus, e.g. with other decoding."""
        return teacher

    def curate(self, corpus: Corpus, access: Access) -> Corpus:
        """The corpus that the student reads: weigh, edit or add rows.  Weight 0 removes a row."""
        return corpus

    def adapt(self, model: Model, access: Access) -> Model:
        """The model that is fitted, e.g. with another loss or start."""
        return model

    def size(self, n: int, t: int) -> int:
        """The number of rows that generation t reads, >= 1; n is that without this mitigation.

        With a third parameter, ``size(self, n, t, memory)``, it also receives ``access.memory``.
        """
        return n

    # -- facts that laws read ----------------------------------------------------------------------

    @property
    def row_weights(self) -> tuple[float, float] | None:
        """(weight of a real row, weight of a synthetic row), for a method that only sets these
        weights; None for all others."""
        return None

    @property
    def verifies(self) -> tuple[float, float] | None:
        """(phi, psi), for a method that only keeps right rows with probability phi and wrong rows
        with probability psi; None for all others."""
        return None


def size_takes_memory(act: Mitigation) -> bool:
    """Whether ``act.size`` has a third parameter, for the memory of the mitigation."""
    return len(inspect.signature(act.size).parameters) > 2


# -- Protocol --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composition:
    """What the corpus of a generation is made of.

    By default, all rows that the generation reads are written by the last teacher.
    """

    # the share of real rows among those that a generation adds
    real: float = 0.0
    fresh: bool = True  # whether real rows are new in every generation, or those of the first
    # Rows of earlier generations: none are read again, all are, or the corpus is a sample of all
    # rows that were ever written.
    earlier: Literal["none", "all", "sample"] = "none"
    verified: bool = False  # whether a verifier selects the rows from a larger number


REPLACE, ACCUMULATE, VERIFIED = (
    Composition(),
    Composition(earlier="all"),
    Composition(verified=True),
)


@dataclass(frozen=True)
class Protocol(Component):
    """What the next generation reads, and what is kept for later ones."""

    @property
    def composition(self) -> Composition | None:
        """What a corpus is made of, for laws and mitigations.

        A protocol states it in a class attribute or a property.  None: in another way, which no law
        covers.
        """
        return None

    @property
    def reads_real(self) -> bool:
        """Whether corpora after generation 0 hold real rows, where nature taught generation 0.

        Follows from the composition; True for a protocol that states none.  Methods that weigh real
        against synthetic rows do not fit a cell where it is False.
        """
        made = self.composition
        return made is None or made.real > 0 or made.earlier != "none"

    decode: Mitigation | None = param(
        None,
        "a biased sampler, e.g. temperature(t=0.9), which decodes every entry except nature",
    )

    def compose(self, access: Access, memory: Any) -> tuple[Corpus, Any]:
        """(corpus, memory) of a generation.

        memory: what the previous generation returned; None at the first.  It survives a resume.
        """
        raise NotImplementedError


# -- roles -----------------------------------------------------------------------------------------

#: kind of a plugin -> its base class
ROLES: dict[str, type[Component]] = {
    "generator": DataGenerator,
    "model": Model,
    "protocol": Protocol,
    "mitigation": Mitigation,
}


def role_of(component: Component) -> str:
    """The kind of a plugin: generator, model, protocol or mitigation."""
    return next((role for role, base in ROLES.items() if isinstance(component, base)), "component")

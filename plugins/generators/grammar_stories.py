"""Tiny stories from a probabilistic grammar with a Zipf lexicon: all probabilities are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.moving import Moving, Path, no_room
from collapse_bench.lib.text.language import HeldOut, Language, events_of
from collapse_bench.registry.hookspecs import hookimpl

# -- the grammar -----------------------------------------------------------------------------------
# A plain word stands for itself.  *thing draws a word from the lexicon of things; *thing:it also
# stores it in register "it", and =it repeats that word.  *deed@kind draws a deed from the
# distribution of the stored kind.  No two sentences begin with the same word, so the words so far
# identify the sentence, and the probability of every next word is known.

OPENING = "once there was a *mood *kind:kind named *name:hero ."


class Sentence(NamedTuple):
    """A sentence with its weight, its conditions and its effects.

    ``needs`` and ``lacks`` are registers (thing, friend) that must be set or unset; ``loses``
    unsets them.
    """

    weight: float
    text: str
    needs: frozenset = frozenset()
    lacks: frozenset = frozenset()
    loses: frozenset = frozenset()


THING, FRIEND = frozenset({"thing"}), frozenset({"friend"})
SENTENCES = (
    Sentence(3, "then =hero *deed@kind ."),
    Sentence(1, "the =kind was very *mood ."),
    Sentence(3, "one day =hero found a *mood *thing:thing .", lacks=THING),
    Sentence(2, "at the *place =hero met a *mood *kind:other named *name:friend .", lacks=FRIEND),
    Sentence(2, "meanwhile =friend *deed@other .", needs=FRIEND),
    Sentence(1, "soon =hero lost the =thing in the *place .", needs=THING, loses=THING),
    Sentence(2, "so =hero gave the =thing to =friend .", needs=THING | FRIEND, loses=THING),
)
REGISTERS = ("hero", "kind", "thing", "friend", "other")
HABITS = 16  # number of distributions of deeds, which kinds share

#: lexicon -> (its share of all words, ending of invented words, its real words)
LEXICONS = {
    "name": (
        0.2,
        "o",
        "Ada Amos Anna Ben Bess Bruno Carl Cleo Clara Dan Dora Dot Ed Ella Emil Eva Finn Flora "
        "Fritz Gus Greta Hal Hans Hugo Ida Ines Ivo Jack Jill Jon Josie Kai Kate Kurt Leo Lily "
        "Lotte Max Mia Milo Nell Nora Olaf Olga Otto Paul Pia Pip Rosa Ruth Sam Sara Sven Theo "
        "Tilda Tom Ursa Uwe Vera Zoe",
    ),
    "kind": (
        0.14,
        "ling",
        "ant badger bat bear bee bird boy calf cat chick cow crab crow deer dog donkey duck fish "
        "fly fox frog girl goat goose hare hen horse lamb lion mole mouse newt owl pig pony rabbit "
        "rat seal sheep snail swan toad",
    ),
    "mood": (
        0.16,
        "y",
        "bold brave bright calm clever cold dizzy fair fine funny gentle glad good grand happy "
        "hungry jolly kind lazy little lonely loud lucky merry mighty new nice pale plain poor "
        "pretty proud quick quiet rich sad shy silly sleepy small soft strong tidy tiny tired warm "
        "weird wise",
    ),
    "thing": (
        0.2,
        "et",
        "apple bag ball basket bell boat book boot bottle bowl box bread brush bucket button cake "
        "candle cap card chair clock coat coin cookie crown cup doll drum egg feather flag flower "
        "flute gem hammer hat jar kettle key kite ladder lamp leaf letter map mask nut pan pearl "
        "pebble pen pie pot ring rope shell shoe spoon stone wheel",
    ),
    "place": (
        0.14,
        "field",
        "attic bank barn bay beach bridge brook castle cave cellar church cliff corner court dock "
        "farm fence field forest garden gate grove harbour hill house hut inn island lake market "
        "meadow mill park path pond river road school shore street tower well",
    ),
    "deed": (
        0.16,
        "ed",
        "baked blinked bowed called clapped climbed coughed cried danced dozed dug fell flew "
        "frowned giggled grinned hid hopped hummed hurried jumped knocked laughed listened marched "
        "napped nodded painted played prayed ran rested rolled rowed sang sat shouted sighed "
        "skipped slept smiled sneezed spun stood swam waited whistled wept",
    ),
}
_ONSETS, _VOWELS, _CODAS = "bdfgklmnprstvz", "aeiou", ("", *"lmnrs")


def lexicon(name: str, size: int) -> list[str]:
    """``size`` different words: real ones first, then invented ones that occur nowhere else."""
    _, ending, known = LEXICONS[name]
    words, k = known.split()[:size], 0
    while len(words) < size:
        word = _invented(k) + ending
        word, k = word.capitalize() if name == "name" else word, k + 1
        if word not in _known():
            words.append(word)
    return words


def _invented(k: int) -> str:
    """The number k as syllables of consonant, vowel and optional consonant."""
    coda, vowel, onset = k // len(_ONSETS) // len(_VOWELS), k // len(_ONSETS), k
    more, coda = divmod(coda, len(_CODAS))
    syllable = _ONSETS[onset % len(_ONSETS)] + _VOWELS[vowel % len(_VOWELS)] + _CODAS[coda]
    return syllable if not more else _invented(more - 1) + syllable


@lru_cache
def _known() -> frozenset[str]:
    sentences = [OPENING, *(sentence.text for sentence in SENTENCES)]
    return frozenset(
        word
        for text in [*sentences, *(known for _, _, known in LEXICONS.values())]
        for word in text.split()
    )


def _block_masses(novel: float, blocks: int, t: int) -> np.ndarray:
    """The mass of the first block and of each new one in generation t, (1 + blocks,)."""
    masses = np.zeros(1 + blocks)
    masses[0] = 1.0
    for s in range(1, t + 1):
        masses *= 1 - novel
        masses[s] = novel
    return masses


class TokenLaw(NamedTuple):
    """A distribution over words by rank, the same for all chains; ranks are assigned per chain and
    row."""

    words: tuple[int, ...]  # tokens; labels stands for the end
    p: tuple[float, ...]  # by rank
    rows: int = 1  # number of rank assignments, one per habit


class Node(NamedTuple):
    """A position in a story: what is generated there, and its effect."""

    law: int  # index of the law, -1 if a stored word is repeated
    again: int = -1  # register that is repeated
    by: int = -1  # register whose habit chooses the row of the law
    bind: int = -1  # register that stores the generated word
    next: dict[int, int] | int = -1  # the next position, by word if it depends on the word


class Grammar:
    """The grammar at one size, as tables: laws, positions, and transitions by word.

    ``novel``: the share of the mass of things that moves to as many new ones in each of t
    generations; the lexicon has room for ``blocks`` of them.
    """

    def __init__(
        self,
        words: int,
        exponent: float,
        sentences: float,
        novel: float = 0.0,
        blocks: int = 0,
        t: int = 0,
    ):
        texts = [OPENING, *(sentence.text for sentence in SENTENCES)]
        items = [item for text in texts for item in text.split()]
        self.words = list(dict.fromkeys(item for item in items if item[0] not in "*="))
        self.laws: list[TokenLaw] = []
        self.lexicon: dict[str, int] = {}  # which law draws from it
        for name, (share, _, _) in LEXICONS.items():
            first, m = len(self.words), max(2, round(share * words))
            weight = np.arange(1, m + 1) ** -exponent
            p = weight / weight.sum()
            if name == "thing" and blocks:
                p = np.outer(_block_masses(novel, blocks, t), p).ravel()
            self.words += lexicon(name, len(p))
            rows = HABITS if name == "deed" else 1
            law = TokenLaw(tuple(range(first, first + len(p))), tuple(p), rows)
            self.lexicon[name] = self._law(law)
        self.labels = len(self.words)
        self.token = {word: i for i, word in enumerate(self.words)}
        self.drawn_from = {
            item.split(":")[1]: item[1:].split(":")[0] for item in items if ":" in item
        }
        self.nodes: list[Node] = []
        self._build(1 / (1 + sentences))

    def _build(self, stop: float) -> None:
        """Build the positions of all sentences in every mode: with and without a thing and a
        friend."""
        self.end = self._place(Node(self._law(TokenLaw((self.labels,), (1.0,)))))
        self.nodes[self.end] = self.nodes[self.end]._replace(next=self.end)
        modes = [frozenset(), THING, FRIEND, THING | FRIEND]
        choices = {mode: self._place(Node(0)) for mode in modes}
        self.start = self._sentence(OPENING, choices[frozenset()])
        for mode, place in choices.items():
            options, leads = {self.labels: stop}, {self.labels: self.end}
            fitting = [s for s in SENTENCES if s.needs <= mode and not s.lacks & mode]
            total = sum(s.weight for s in fitting)
            for s in fitting:
                opener, _, rest = s.text.partition(" ")
                word = self.token[opener]
                options[word] = (1 - stop) * s.weight / total
                leads[word] = self._sentence(rest, choices[(mode | self._gains(s)) - s.loses])
            self.nodes[place] = Node(
                self._law(TokenLaw(tuple(options), tuple(options.values()))), next=leads
            )

    def _gains(self, sentence: Sentence) -> frozenset:
        bound = {item.split(":")[1] for item in sentence.text.split() if ":" in item}
        return frozenset(bound & (THING | FRIEND))

    def _sentence(self, text: str, then: int) -> int:
        """The first position of a sentence that continues at position ``then``."""
        for item in reversed(text.split()):
            then = self._place(self._item(item, then))
        return then

    def _item(self, item: str, then: int) -> Node:
        if item[0] == "=":
            return Node(-1, again=REGISTERS.index(item[1:]), next=then)
        if item[0] != "*":
            return Node(self._law(TokenLaw((self.token[item],), (1.0,))), next=then)
        name, _, bind = item[1:].partition(":")
        name, _, by = name.partition("@")
        registers = {
            key: REGISTERS.index(value) for key, value in (("by", by), ("bind", bind)) if value
        }
        return Node(self.lexicon[name], next=then, **registers)

    def _law(self, law: TokenLaw) -> int:
        self.laws.append(law)
        return len(self.laws) - 1

    def _place(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    @property
    def first_kind(self) -> int:
        """The first token of the kinds; the habit of a kind is its offset modulo HABITS."""
        return self.laws[self.lexicon["kind"]].words[0]

    # -- tables ------------------------------------------------------------------------------------

    def column(self, name: str) -> Tensor:
        """One field of all positions, (places,) int64."""
        return torch.tensor([getattr(node, name) for node in self.nodes])

    @cached_property
    def starts(self) -> Tensor:
        """Offset of each law in the concatenated ranks of all laws, (laws + 1,)."""
        return torch.tensor([0, *np.cumsum([len(law.p) for law in self.laws])])

    @cached_property
    def slots(self) -> Tensor:
        """Offset of each law in the concatenated words of all rows, (laws + 1,)."""
        return torch.tensor([0, *np.cumsum([len(law.p) * law.rows for law in self.laws])])

    @cached_property
    def reach(self) -> Tensor:
        """Stacked distribution functions, (ranks,) float64: that of law i rises from i to i + 1."""
        climbs = [np.cumsum(law.p) for law in self.laws]
        return torch.from_numpy(
            np.concatenate([climb / climb[-1] + i for i, climb in enumerate(climbs)])
        )

    @cached_property
    def log_p(self) -> Tensor:
        """Log-probability of each rank of each law in nats, (ranks,)."""
        with np.errstate(divide="ignore"):  # words that are not yet in use have no probability
            logs = [np.log(np.asarray(law.p) / math.fsum(law.p)) for law in self.laws]
        return torch.from_numpy(np.concatenate(logs))

    @cached_property
    def place_of(self) -> Tensor:
        """Index of each word in each law, -1 if the law does not contain it, (laws, labels + 1)."""
        table = torch.full((len(self.laws), self.labels + 1), -1)
        for i, law in enumerate(self.laws):
            table[i, list(law.words)] = torch.arange(len(law.words))
        return table

    @cached_property
    def leads(self) -> Tensor:
        """The next position for each position and word, (places, labels + 1)."""
        table = torch.full((len(self.nodes), self.labels + 1), self.end)
        for i, node in enumerate(self.nodes):
            if isinstance(node.next, dict):
                table[i, list(node.next)] = torch.tensor(list(node.next.values()))
            else:
                table[i] = node.next
        return table

    @cached_property
    def in_order(self) -> Tensor:
        """The words of all rows of all laws, in the order of the lexicons, (slots,)."""
        return torch.tensor(
            [word for law in self.laws for _ in range(law.rows) for word in law.words]
        )

    def ranks(self, ranked: Tensor) -> Tensor:
        """The rank of each word per row of a law; ``ranked (R, slots)`` is the word per rank."""
        rank = torch.zeros_like(ranked)
        for i, law in enumerate(self.laws):
            if len(law.words) > 1:
                slots = slice(int(self.slots[i]), int(self.slots[i + 1]))
                place = self.place_of[i].to(ranked.device)[
                    ranked[..., slots].unflatten(-1, (law.rows, -1))
                ]
                rank[..., slots] = place.argsort(-1).flatten(-2)
        return rank

    # -- exact expectations ------------------------------------------------------------------------

    def often(self, begin: int, stop: int) -> np.ndarray:
        """Expected number of words of each law at tokens begin .. stop - 1, (laws,).

        A repeated word counts for the law that it was drawn from, since it has the same
        distribution.
        """
        expected = np.zeros(len(self.laws))
        for node, many in zip(self.nodes, self.visits(begin, stop).sum(0), strict=True):
            law = (
                node.law if node.law >= 0 else self.lexicon[self.drawn_from[REGISTERS[node.again]]]
            )
            expected[law] += many
        return expected

    def visits(self, begin: int, stop: int) -> np.ndarray:
        """Probability of each position at tokens begin .. stop - 1, (stop - begin, places)."""
        step = np.zeros((len(self.nodes),) * 2)
        for i, node in enumerate(self.nodes):
            if isinstance(node.next, dict):
                law = self.laws[node.law]
                for word, p in zip(law.words, law.p, strict=True):
                    step[i, node.next[word]] += p
            else:
                step[i, node.next] = 1
        at, visits = np.eye(len(self.nodes))[self.start], []
        for _ in range(stop):
            visits.append(at)
            at = at @ step
        return np.array(visits[begin:])

    @cached_property
    def surprise(self) -> np.ndarray:
        """Entropy of the next word at each position in nats, (places,).

        It does not depend on the registers, since they only choose among rank assignments.
        """
        entropy = [-math.fsum(p * math.log(p) for p in law.p if p) for law in self.laws]
        return np.array([entropy[node.law] if node.law >= 0 else 0.0 for node in self.nodes])


@lru_cache(maxsize=8)
def grammar(
    words: int,
    exponent: float,
    sentences: float,
    novel: float = 0.0,
    blocks: int = 0,
    t: int = 0,
) -> Grammar:
    return Grammar(words, exponent, sentences, novel, blocks, t)


# -- the data generator ----------------------------------------------------------------------------


@dataclass(frozen=True)
class GrammarStories(Moving, Language):
    """Stories from a grammar with exactly known probabilities; tokens are words.

    E.g. "Once there was a shy owl named Mia. One day Mia found a red kite. Then Mia sang."

    x (R, n, prompt) and y (R, n, block - prompt) int64: stories of more than ``block`` tokens are
    cut, shorter ones have an end.  Names, kinds, things, places, moods and deeds follow Zipf laws,
    p proportional to rank^-exponent.  Names and things are repeated until the end of the story, and
    deeds depend on the kind of the one who acts, so a good model needs long-range context.  For
    each seed the ranks are assigned to the words at random; ``truth_is=fixed`` keeps the order of
    the lexicon.  As a flawed first teacher, ``first=grammar-stories(exponent=2)``, it keeps the
    ranks of the data.

    With ``novel`` new things come up: in every generation this share of the mass of things moves to
    as many new words, with the same Zipf law, and all older ones shrink.  The lexicon has room for
    ``blocks`` of them.  Everything else stands still.

    The probability of every word (``logp``) and the expected entropy per token (``entropy_rate``)
    are known, and ``verify`` checks whether the grammar can generate a story.  Losses: see
    Language, and ``ungrammatical``, the share of generated stories that the grammar cannot
    generate.
    """

    words: int = param(300, "words in the lexicon", ge=20, le=100_000)
    exponent: float = param(1.0, "exponent of the Zipf laws; 0: uniform", ge=0, le=8)
    sentences: float = param(3.0, "mean number of sentences after the first", gt=0, le=1000)
    block: int = param(
        48, "tokens of a story, including the prompt; longer stories are cut", ge=10, le=100_000
    )
    prompt: int = param(0, "tokens given as the question; the first sentence has 9", ge=0, le=9)
    truth_is: Literal["drawn", "fixed"] = param("drawn", "ranks random per seed, or in order")
    novel: float = param(
        0.0,
        "share of the mass of things that moves to new ones in every generation",
        ge=0,
        le=1,
        later=True,
    )
    blocks: int = param(
        10,
        "with novel: how many times as many things the lexicon has room for, the most generations",
        ge=1,
        le=1000,
        later=True,
    )

    tiny = {"words": 20, "block": 14, "prompt": 7, "test": 6, "judged": 4, "sentences": 1}

    @property
    def labels(self):
        return self._grammar.labels

    @property
    def vocabulary(self):
        return tuple(self._grammar.words)

    @property
    def span(self):
        return self.block

    @property
    def _grammar(self) -> Grammar:
        size = self.words, self.exponent, self.sentences
        if not self.moves:
            return grammar(*size)
        return grammar(*size, self.novel, self.blocks, self.truth.t if self.truth else 0)

    moving = {"novel": 0.3, "blocks": 4, "block": 30}

    @property
    def moves(self):
        return self.novel > 0

    def incompatibility(self, cell):
        if self.moves and cell.data is self and cell.generations > self.blocks:
            return no_room(self, cell.generations)
        return super().incompatibility(cell)

    def sample_truth(self, rng, nature=None):
        tables, same = self._grammar, isinstance(nature, GrammarStories)
        if same and nature.labels != self.labels:
            more = f", novel={nature.novel:g}, blocks={nature.blocks}" if nature.moves else ""
            raise Incompatible(
                f"{self.title()} as a first teacher keeps the ranks of the data and so needs as "
                f"many words: set words={nature.words}{more}"
            )
        ranked = nature.truth.ranked if same else self._dealt(rng.at("ranks"))
        data = self.with_truth(
            ranked=ranked,
            rank=tables.ranks(ranked),
            chain_shape=rng.chain_shape,
            exam_rng=rng.at("exam"),
            t=0,
            path=Path(),
        )
        data.truth.held_out = data._held_out(data.truth.exam_rng)
        return data

    def following(self, t):
        if t > self.blocks:
            raise Incompatible(no_room(self, t))
        return self.with_changed(t=t, held_out=None)

    def at(self, t):
        world = super().at(t)
        if world.truth.held_out is None:  # drawn only for worlds that are asked for
            world.truth.held_out = world._held_out(world.truth.exam_rng)
        return world

    def _dealt(self, rng: Stream) -> Tensor:
        """The word at each rank of each row of each law, (R, slots) int64."""
        tables = self._grammar
        ranked = (
            tables.in_order.to(rng.device).repeat(*rng.chain_shape, 1).reshape(*rng.chain_shape, -1)
        )
        for name, law in tables.lexicon.items():
            rows = ranked[..., tables.slots[law] : tables.slots[law + 1]].unflatten(
                -1, (tables.laws[law].rows, -1)
            )
            if self.truth_is == "drawn":
                order = rng.at(name).uniform(*rows.shape[-2:]).argsort(-1)
            else:  # rows are rotated, so that habits differ
                h, m = rows.shape[-2:]
                order = (
                    torch.arange(m, device=rng.device)
                    + torch.arange(h, device=rng.device)[:, None] * m // h
                ) % m
            rows.copy_(rows.gather(-1, order.expand(rows.shape)))
        return ranked

    def _held_out(self, rng: Stream) -> HeldOut:
        x = self.ask(self.test, rng.at("x"))
        y = self.answer(x, rng.at("y"))
        return HeldOut(x, y, self.judged, self.frequency, self.tail, rng, self.logp(x, y))

    def ask(self, n, rng):
        return self._continued(_Story(self, n), self.prompt, rng)

    def answer(self, x, rng):
        return self._continued(self._after(x)[0], self.block - self.prompt, rng)

    def _continued(self, story: _Story, length: int, rng: Stream) -> Tensor:
        u = rng.uniform(story.n, length)
        if not length:
            return u.long()
        y = torch.stack([story.generate(u[..., i]) for i in range(length)], -1)
        return torch.where(y < self.labels, y, -1)

    def _after(self, tokens: Tensor) -> tuple[_Story, Tensor]:
        """(the story after these tokens (R, n, L), the log-probability of each)."""
        story = _Story(self, tokens.shape[-2])
        words = torch.where(tokens < 0, self.labels, tokens)
        logp = [story.read(words[..., i]) for i in range(tokens.shape[-1])]
        return story, torch.stack(logp, -1) if logp else tokens.double()

    def logp(self, x, y):
        _, logp = self._after(torch.cat([x, y], -1))
        return torch.where(events_of(y), logp[..., x.shape[-1] :], 0.0)

    def verify(self, x, y):
        return (self.logp(x, y) > -torch.inf).all(-1)

    def losses(self, teacher, rng):
        held_out = self.truth.held_out
        right = self.verify(held_out.x[..., : self.judged, :], held_out.written(teacher).y)
        return super().losses(teacher, rng) | {"ungrammatical": 1 - right.double().mean(-1)}

    def spell(self, y):
        words = self._grammar.words
        stories = (" ".join(words[token] for token in row if token >= 0) for row in y.tolist())
        return [
            ". ".join(s[:1].upper() + s[1:] for s in story.replace(" .", ".").split(". "))
            for story in stories
        ]

    # -- exact expectations ------------------------------------------------------------------------

    @property
    def entropy_rate(self) -> float:
        """Expected nats of a story over its expected number of tokens, both after the prompt.

        The end counts as a token.
        """
        tables = self._grammar
        visits = tables.visits(self.prompt, self.block)
        return float((visits @ tables.surprise).sum() / (1 - visits[:, tables.end]).sum())

    @property
    def frequency(self) -> Tensor:
        """Expected count of each word in a story after the prompt, (R, labels) float64."""
        tables, ranked = self._grammar, self.truth.ranked
        weight = torch.zeros(ranked.shape, dtype=torch.float64, device=ranked.device)
        for law, many in enumerate(tables.often(self.prompt, self.block)):
            weight[..., tables.slots[law] : tables.slots[law + 1]] = self._shares(law) * many
        often = torch.zeros(
            *self.truth.chain_shape, tables.labels + 1, dtype=torch.float64, device=ranked.device
        )
        return often.scatter_add(-1, ranked, weight)[..., :-1]

    def _shares(self, law: int) -> Tensor:
        """Probability of each word of each row of a law, averaged over kinds, (R, rows * words)."""
        tables = self._grammar
        p = torch.tensor(tables.laws[law].p, dtype=torch.float64, device=self.truth.ranked.device)
        if tables.laws[law].rows == 1:
            return p
        kind = tables.lexicon["kind"]
        habit = (
            self.truth.ranked[..., tables.slots[kind] : tables.slots[kind + 1]] - tables.first_kind
        ) % HABITS
        share = self._shares(kind).expand(habit.shape)
        row = torch.zeros(
            *habit.shape[:-1], HABITS, dtype=torch.float64, device=p.device
        ).scatter_add(-1, habit, share)
        return (row[..., None] * p).flatten(-2)


class _Story:
    """The state of n unfinished stories: the position and the registers of each, (R, n, ...)."""

    def __init__(self, data: GrammarStories, n: int):
        truth, tables = data.truth, data._grammar
        device, self.n, self.labels = truth.ranked.device, n, tables.labels
        self.truth, shape = truth, (*truth.chain_shape, n)
        self.place = torch.full(shape, tables.start, device=device)
        self.bound = torch.zeros(*shape, len(REGISTERS), dtype=torch.int64, device=device)
        # Whether a story has left the grammar; it then has probability 0 for good.
        self.lost = torch.zeros(shape, dtype=torch.bool, device=device)
        self.law, self.again, self.by, self.bind = (
            tables.column(name).to(device) for name in ("law", "again", "by", "bind")
        )
        self.starts, self.slots, self.reach = (
            t.to(device) for t in (tables.starts, tables.slots, tables.reach)
        )
        self.log_p, self.place_of, self.leads = (
            t.to(device) for t in (tables.log_p, tables.place_of, tables.leads)
        )
        self.sizes = torch.tensor([len(law.p) for law in tables.laws], device=device)
        self.first_kind = tables.first_kind

    def generate(self, u: Tensor) -> Tensor:
        """Append the next word of each story, by uniform ``u (R, n)``; ``labels`` is the end."""
        law, row = self._current()
        # law + u can round up to law + 1, which would draw from the next law.
        height = torch.minimum(law + u, torch.nextafter(law + 1.0, law.double()))
        rank = torch.searchsorted(self.reach, height, right=True) - self.starts[law]
        word = self.truth.ranked.gather(-1, row + rank)
        return self._on(torch.where(self.again[self.place] >= 0, self._bound(self.again), word))

    def read(self, word: Tensor) -> Tensor:
        """Append the words (R, n) to the stories, and return their log-probabilities."""
        law, row = self._current()
        place = self.place_of[law, word]
        rank = self.truth.rank.gather(-1, row + place.clamp_min(0))
        drawn = torch.where(place >= 0, self.log_p[self.starts[law] + rank], -torch.inf)
        again = torch.where(word == self._bound(self.again), 0.0, -torch.inf)
        logp = torch.where(self.again[self.place] >= 0, again, drawn)
        self.lost = self.lost | (logp == -torch.inf)
        self._on(word)
        return torch.where(self.lost, -torch.inf, logp)

    def _current(self) -> tuple[Tensor, Tensor]:
        """(law, offset of its row in the words of all rows) at the position of each story."""
        law = self.law[self.place].clamp_min(0)
        habit = (self._bound(self.by) - self.first_kind) % HABITS
        return law, self.slots[law] + torch.where(
            self.by[self.place] >= 0, habit * self.sizes[law], 0
        )

    def _bound(self, register: Tensor) -> Tensor:
        return self.bound.gather(-1, register[self.place].clamp_min(0)[..., None])[..., 0]

    def _on(self, word: Tensor) -> Tensor:
        register = self.bind[self.place]
        kept = torch.where(register >= 0, word, self._bound(self.bind))
        self.bound = self.bound.scatter(-1, register.clamp_min(0)[..., None], kept[..., None])
        self.place = self.leads[self.place, word]
        return word


@hookimpl
def collapse_generators():
    return {"grammar-stories": GrammarStories}

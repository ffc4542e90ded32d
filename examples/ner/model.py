"""The taggers and their losses: an encoder gives emissions, a linear-chain CRF of dagdp does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dagdp import HardMax, Negentropy, Omega, SquaredL2
from dagdp.nn import LinearChainCRF, pad_ragged
from examples.ner.data import UNKNOWN, Batch, Sentence, Vocabulary
from examples.ner.features import FeatureNumbers


class BothWays(nn.Module):
    """A bidirectional LSTM over ragged sequences: each direction begins at an end of the sequence, not of the padding.

    The backward direction reads each sequence turned round within its length. Packed sequences give the same numbers,
    and take 1.5 times as long on a CPU.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.forth = nn.LSTM(size, hidden, batch_first=True)
        self.back = nn.LSTM(size, hidden, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[batch, T, 2 hidden] from x [batch, T, size]: what lies behind a length is not meant to be read."""
        turned = (lengths.unsqueeze(-1) - 1 - torch.arange(x.shape[1])).clamp_min(0).unsqueeze(-1)

        def turn(y: Tensor) -> Tensor:
            return y.gather(1, turned.expand(-1, -1, y.shape[-1]))

        return torch.cat([self.forth(x)[0], turn(self.back(turn(x))[0])], -1)

    def last(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[batch, 2 hidden]: the state of each direction when it has read the whole sequence."""
        states = self(x, lengths)
        hidden = states.shape[-1] // 2
        ends = (lengths - 1).reshape(-1, 1, 1).expand(-1, 1, hidden)
        return torch.cat([states[..., :hidden].gather(1, ends).squeeze(1), states[:, 0, hidden:]], -1)


class LSTMEncoder(nn.Module):
    """Section C.1: a word's vector and its characters, read in both directions, then the sentence in both directions.

    vectors : [words + 1, d] where the table of words begins; None for random numbers and d = 300.
    """

    def __init__(self, vocabulary: Vocabulary, vectors: Tensor | None, characters: int = 50, hidden: int = 100) -> None:
        super().__init__()
        self.vocabulary, self.size = vocabulary, 2 * hidden
        count = len(vocabulary.words) + 1
        self.words = nn.Embedding(count, 300 if vectors is None else vectors.shape[1], sparse=True)
        bound = (3 / self.words.embedding_dim) ** 0.5  # each entry has variance 1/d
        nn.init.uniform_(self.words.weight, -bound, bound)
        if vectors is not None:
            known = vectors.isfinite().all(-1)
            with torch.no_grad():
                self.words.weight[known] = vectors[known]
        self.characters = nn.Embedding(len(vocabulary.characters) + 1, characters)
        self.spelling = BothWays(characters, characters // 2)
        self.sentence = BothWays(self.words.embedding_dim + characters, hidden)
        self.dropout = nn.Dropout(0.5)

    def forward(self, batch: Batch) -> Tensor:
        """[B, T, 200]."""
        spelled = self.spelling.last(self.characters(batch.characters), batch.character_counts)  # [W, 50]
        words = batch.words
        if self.training:  # so that the vector of unknown words is learnt: every second word that occurs once is one
            unknown = self.vocabulary.once[words] & (torch.rand(words.shape) < 0.5)
            words = torch.where(unknown, UNKNOWN, words)
        seen = torch.cat([self.words(words), spelled[batch.spellings]], -1)
        return self.sentence(self.dropout(seen), batch.lengths)


class Tagger(nn.Module, ABC):
    """Emissions w_i x_t + b_i of an encoder, and a transition matrix: theta[t, i, j] of section 4.2.

    There are no scores for the first and the last tag, as in the paper.
    """

    def __init__(self, tags: Sequence[str], omega: Omega) -> None:
        super().__init__()
        self.tags = list(tags)
        self.crf = LinearChainCRF(len(tags), omega, boundaries=False)

    @abstractmethod
    def emission(self, sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor, Tensor]:
        """(emission [B, T, S], tags [B, T], lengths [B])."""


class LSTMTagger(Tagger):
    """The model of section C.1."""

    def __init__(self, vocabulary: Vocabulary, omega: Omega, vectors: Tensor | None = None) -> None:
        super().__init__(vocabulary.tags, omega)
        self.encoder = LSTMEncoder(vocabulary, vectors)
        self.classifier = nn.Linear(self.encoder.size, len(vocabulary.tags))

    def emission(self, sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor, Tensor]:
        batch = self.encoder.vocabulary.encode(sentences)
        return self.classifier(self.encoder(batch)), batch.tags, batch.lengths


class FeatureTagger(Tagger):
    """A linear model: the emission is a sum of the weights of a word's features."""

    def __init__(self, vocabulary: Vocabulary, omega: Omega, numbers: FeatureNumbers) -> None:
        super().__init__(vocabulary.tags, omega)
        self.numbers = numbers
        self.weights = nn.EmbeddingBag(len(numbers), len(vocabulary.tags), mode="sum")
        nn.init.zeros_(self.weights.weight)

    def emission(self, sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor, Tensor]:
        rows = [row for sentence in sentences for row in self.numbers.encode(sentence)]
        offsets = torch.tensor([0, *map(len, rows[:-1])]).cumsum(0)
        flat = self.weights(torch.tensor([f for row in rows for f in row]), offsets)
        emission, lengths = pad_ragged(flat.split([len(sentence.words) for sentence in sentences]))
        number = {tag: k for k, tag in enumerate(self.tags)}
        tags = pad_ragged([[number.get(tag, 0) for tag in sentence.tags] for sentence in sentences])[0]
        return emission, tags, lengths


Measure = Callable[[LinearChainCRF, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """A loss with its operator: from (crf, emission, tags, lengths) to one number a sentence."""

    title: str
    omega: Omega
    measure: Measure


def surrogate(crf: LinearChainCRF, emission: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """DP_Ω(θ) - <Y, θ>, convex in θ: [B]."""
    return -crf(emission, tags, lengths)


def hinge(crf: LinearChainCRF, emission: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """The surrogate with a cost of 1 for each wrong tag: [B]."""
    cost = 1.0 - nn.functional.one_hot(tags, crf.num_tags)
    return crf.value(emission + cost, lengths) - crf.score(emission, tags, lengths)


def relaxed_l2(crf: LinearChainCRF, emission: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """Σ_t ||p_t - y_t||² between the marginals and the true tags: [B]."""
    inside = torch.arange(tags.shape[1]) < lengths.unsqueeze(-1)
    true = nn.functional.one_hot(tags, crf.num_tags) * inside.unsqueeze(-1)
    return (crf.marginals(emission, lengths) - true).square().sum((-2, -1))


def relaxed_kl(crf: LinearChainCRF, emission: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """Σ_t KL(y_t, p_t) = -Σ_t log p(true tag at t): [B]."""
    inside = torch.arange(tags.shape[1]) < lengths.unsqueeze(-1)
    right = crf.marginals(emission, lengths).gather(-1, tags.unsqueeze(-1)).squeeze(-1)
    tiny = torch.finfo(right.dtype).tiny  # a probability that underflows to 0 would give an infinite loss
    return -torch.where(inside, right.clamp_min(tiny), 1.0).log().sum(-1)


#: the five losses of table 1, and the hinge
LOSSES = {
    "negentropy-surrogate": Loss("Negentropy, surrogate (CRF)", Negentropy(1.0), surrogate),
    "negentropy-relaxed": Loss("Negentropy, relaxed (KL)", Negentropy(1.0), relaxed_kl),
    "l2-surrogate": Loss("SquaredL2, surrogate", SquaredL2(1.0), surrogate),
    "l2-relaxed": Loss("SquaredL2, relaxed (ℓ2²)", SquaredL2(1.0), relaxed_l2),
    "perceptron": Loss("structured perceptron", HardMax(), surrogate),
    "hinge": Loss("structured hinge", HardMax(), hinge),
}
TABLE_1 = list(LOSSES)[:5]

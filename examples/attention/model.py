"""An LSTM encoder and decoder, and three attentions between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dagdp import Negentropy, Omega, SquaredL2
from dagdp.nn import LinearChainCRF
from examples.attention.data import PAD, Batch

#: the temperatures are the paper's
OMEGAS: dict[str, Omega | None] = {"softmax": None, "negentropy": Negentropy(2.0), "squared_l2": SquaredL2(10.0)}
NAMES = {"softmax": "Softmax", "negentropy": "Segmentation, Negentropy", "squared_l2": "Segmentation, SquaredL2"}
SMALLEST = 1e-6  # marginals of a step that sum to less are divided by this number


@dataclass(frozen=True)
class Sizes:
    """How large a model is."""

    french: int  # entries of the vocabulary
    english: int
    units: int = 256
    dropout: float = 0.2


class SoftmaxAttention(nn.Module):
    """w_t ∝ exp(score_t) over the positions of the source."""

    def forward(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Weights [B, S, T] for scores [B, S, T] of S decoder steps; 0 from position `lengths` [B] on."""
        behind = torch.arange(scores.shape[-1]) >= lengths[:, None, None]
        return scores.masked_fill(behind, -torch.inf).softmax(-1)


class SegmentationAttention(nn.Module):
    """w_t ∝ p(y_t = 1), the marginals of a chain that says "attend" (1) or "pass over" (0) at each source position.

    θ_{t,1,j} = score_t + t_{1,j} and θ_{t,0,j} = t_{0,j}. Only the transition t is learnt here. The first position
    has no transition. The chain ends with the source: behind it all weights are 0.

    Where no position is attended all marginals are 0, which can happen under a sparse operator. Then all weights are
    0, and the context is the zero vector: the decoder says that word from its own state alone.
    """

    def __init__(self, omega: Omega) -> None:
        super().__init__()
        self.chain = LinearChainCRF(2, omega, boundaries=False)

    def forward(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Weights [B, S, T] for scores [B, S, T] of S decoder steps, in one call."""
        emission = torch.stack([torch.zeros_like(scores), scores], -1)
        attended = self.chain.marginals(emission, lengths[:, None])[..., 1]
        return attended / attended.sum(-1, keepdim=True).clamp_min(SMALLEST)


class Translator(nn.Module):
    """Source tokens in, scores of target tokens out.

    The state of the decoder does not depend on the attention (no input feeding), so that under teacher forcing the
    states of all steps are known before the one call of the attention.
    """

    def __init__(self, sizes: Sizes, attention: str) -> None:
        super().__init__()
        units = sizes.units
        self.french = nn.Embedding(sizes.french, units, padding_idx=PAD)
        self.english = nn.Embedding(sizes.english, units, padding_idx=PAD)
        for table in (self.french, self.english):
            nn.init.normal_(table.weight, std=units**-0.5)
        self.encoder = nn.LSTM(units, units // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(units, units, batch_first=True)
        self.begin = nn.Linear(units, units)
        self.bilinear = nn.Linear(units, units, bias=False)
        self.mix = nn.Linear(2 * units, units)
        self.bias = nn.Parameter(torch.zeros(sizes.english))
        self.dropout = nn.Dropout(sizes.dropout)
        # made last: all else then starts from the same numbers under every attention
        omega = OMEGAS[attention]
        self.attention = SoftmaxAttention() if omega is None else SegmentationAttention(omega)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(vectors [B, T, units], the decoder's first state)."""
        read = self.dropout(self.french(source))
        packed = nn.utils.rnn.pack_padded_sequence(read, lengths, batch_first=True, enforce_sorted=False)
        states, (last, _) = self.encoder(packed)
        vectors, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        first = torch.tanh(self.begin(torch.cat([last[0], last[1]], -1)))[None]
        return self.dropout(vectors), (first, torch.zeros_like(first))

    def attend(self, states: Tensor, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(outputs [B, S, units], weights [B, S, T]) for decoder states [B, S, units]."""
        weights = self.attention(self.bilinear(states) @ vectors.mT, lengths)
        mixed = torch.tanh(self.mix(torch.cat([weights @ vectors, states], -1)))
        return self.dropout(mixed), weights

    def score(self, outputs: Tensor) -> Tensor:
        """Scores of all target tokens [..., vocabulary]. The matrix is that of the embeddings."""
        return outputs @ self.english.weight.T + self.bias

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(scores of the N target tokens that count [N, vocabulary], these tokens [N]), the decoder fed with them."""
        vectors, state = self.encode(batch.source, batch.lengths)
        states, _ = self.decoder(self.dropout(self.english(batch.given)), state)
        outputs, _ = self.attend(self.dropout(states), vectors, batch.lengths)
        real = batch.wanted != PAD
        return self.score(outputs[real]), batch.wanted[real]

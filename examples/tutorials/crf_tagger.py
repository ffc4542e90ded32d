"""
A CRF tagger
============

A tagger gives each word of a sentence a tag: here the beginning and the inside of names of persons, organisations,
places and other things. A small BiLSTM computes an *emission* score for each word and tag. A linear-chain CRF adds a
score for each pair of neighbouring tags, and turns the scores into a distribution over whole tag sequences.

You will put sentences of different length into one batch, train by maximum likelihood, decode, read marginals,
entropies and the k best sequences, and make the CRF sparse. The last section says what to look at when training fails.
"""

import gzip
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

from dagdp import Tsallis, plot
from dagdp.nn import LinearChainCRF, convert_tags, legal_transitions, pad_ragged

# %%
# Sentences and tags
# ------------------
#
# Wikigold has articles of Wikipedia with hand-made tags, one word a line. Its scheme is IOB1, in which ``I-PER`` is any
# word of a person's name. In the scheme BIO the first word of each name has the prefix ``B``, so that the tag alone
# says where a name begins; ``convert_tags`` changes the scheme. We keep sentences of at most 20 words.

root = next(folder for folder in [Path.cwd(), *Path.cwd().parents] if (folder / "examples/data").is_dir())
text = gzip.decompress((root / "examples/data/wikigold/wikigold.conll.txt.gz").read_bytes()).decode()
names = ["O", *(f"{prefix}-{kind}" for kind in ("LOC", "MISC", "ORG", "PER") for prefix in "BI")]


def read(article):
    """Pairs (words, tags) for the sentences of an article."""
    blocks = [[line.split() for line in block.splitlines() if line] for block in article.split("\n\n")]
    sentences = [zip(*rows, strict=True) for rows in blocks if 0 < len(rows) <= 20]
    return [(words, convert_tags(tags, "IOB1", "BIO")) for words, tags in sentences]


articles = [read(article) for article in text.split("-DOCSTART- O\n")]
training = [sentence for article in articles[:90] for sentence in article]
evaluation = [sentence for article in articles[90:110] for sentence in article]
print(len(training), "sentences for training,", len(evaluation), "for evaluation")
print(" ".join(f"{word}/{tag}" for word, tag in zip(*training[3], strict=True)))

# %%
# A ragged batch
# --------------
#
# ``pad_ragged`` makes one padded tensor of lists of different length, and returns the lengths. Each word has two
# numbers: that of the word, 0 if it is unknown, and that of its shape, such as ``Xx`` for a capitalised word. The shape
# finds names that training has not seen.


def shape(word):
    return "".join("X" if c.isupper() else "x" if c.islower() else "0" if c.isdigit() else "-" for c in word[:2])


counts = Counter(word.lower() for words, _ in training for word in words)
vocabulary = {word: k for k, word in enumerate((word for word in counts if counts[word] > 1), 1)}
shapes = {form: k for k, form in enumerate(dict.fromkeys(shape(word) for words, _ in training for word in words), 1)}


def batch_of(sentences):
    """(words [B, T], shapes [B, T], tags [B, T], lengths [B])."""
    words, lengths = pad_ragged([[vocabulary.get(word.lower(), 0) for word in words] for words, _ in sentences])
    forms, _ = pad_ragged([[shapes.get(shape(word), 0) for word in words] for words, _ in sentences])
    tags, _ = pad_ragged([[names.index(tag) for tag in tags] for _, tags in sentences])
    return words, forms, tags, lengths


class Encoder(nn.Module):
    """Emission scores [B, T, tags]."""

    def __init__(self):
        super().__init__()
        self.word, self.form = nn.Embedding(len(vocabulary) + 1, 32), nn.Embedding(len(shapes) + 1, 8)
        self.lstm, self.dropout = nn.LSTM(40, 32, batch_first=True, bidirectional=True), nn.Dropout(0.3)
        self.score = nn.Linear(64, len(names))

    def forward(self, words, forms, lengths):
        both = self.dropout(torch.cat([self.word(words), self.form(forms)], -1))
        packed = nn.utils.rnn.pack_padded_sequence(both, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.score(self.dropout(states))


# %%
# The CRF
# -------
#
# Tags y score ``start[y_0] + Σ emission[t, y_t] + Σ transition[y_t, y_{t-1}] + end[y_{T-1}]``. ``crf(emission, tags,
# lengths)`` is their log-likelihood: the score minus the log of the sum of exp(score) over all sequences. In BIO,
# ``I-PER`` follows ``B-PER`` or ``I-PER`` only. A CRF that is given the legal transitions gives illegal sequences
# probability 0.

torch.manual_seed(0)
legal = legal_transitions(names, scheme="BIO")
encoder, crf = Encoder(), LinearChainCRF(len(names), allowed=legal)
words, forms, tags, lengths = batch_of(training[:4])
emission = encoder(words, forms, lengths)
print("lengths", lengths.tolist(), " emission", list(emission.shape))
print("log-likelihood", [round(number, 1) for number in crf(emission, tags, lengths).tolist()])

behind = torch.arange(tags.shape[1]) >= lengths[:, None]
spoilt = emission.masked_fill(behind[..., None], torch.nan)
assert torch.equal(crf(spoilt, tags, lengths), crf(emission, tags, lengths))  # padding is never read

# %%
# Training
# --------
#
# The loss is minus the log-likelihood a word (``reduction="token_mean"``). Sentences of similar length share a batch.
# ``decode`` finds the best sequences, with -1 behind the end of a sentence. F1 counts whole names: a name is right if
# its words and its kind are right.


def train(encoder, crf, epochs=7):
    ordered = sorted(training, key=lambda sentence: len(sentence[0]))
    batches = [batch_of(ordered[k : k + 32]) for k in range(0, len(ordered), 32)]
    optimizer = torch.optim.Adam([*encoder.parameters(), *crf.parameters()], lr=0.015)
    losses = torch.zeros(epochs, len(batches))
    for epoch in range(epochs):
        for k in torch.randperm(len(batches)):
            words, forms, tags, lengths = batches[k]
            loss = -crf(encoder(words, forms, lengths), tags, lengths, reduction="token_mean")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[epoch, k] = loss.detach()
    print("loss of each epoch", [round(loss, 2) for loss in losses.mean(1).tolist()])


def spans(tags):
    """The set of names (first word, word behind the last, kind) of a row of tags."""
    tags = [names[k] for k in tags if k >= 0]
    starts = [k for k, tag in enumerate(tags) if tag[0] == "B"]
    ends = [next((j for j in range(k + 1, len(tags)) if tags[j][0] != "I"), len(tags)) for k in starts]
    return {(k, end, tags[k][2:]) for k, end in zip(starts, ends, strict=True)}


def evaluate(encoder, crf):
    """(emission, best tags) of the evaluation sentences; prints F1."""
    with torch.no_grad():
        emission = encoder.eval()(words, forms, lengths)
    best = crf.decode(emission, lengths)
    found = [spans(row) for row in best.tolist()]
    right = sum(len(a & b) for a, b in zip(found, true, strict=True))
    print(f"F1 {2 * right / sum(len(a) + len(b) for a, b in zip(found, true, strict=True)):.2f}")
    return emission, best


words, forms, tags, lengths = batch_of(evaluation)
inside = torch.arange(tags.shape[1]) < lengths[:, None]
true = [spans(row) for row in tags.masked_fill(~inside, -1).tolist()]
train(encoder, crf)
emission, best = evaluate(encoder, crf)

for label, rows in (("best sequences", best), ("best tag of each word by itself", emission.argmax(-1))):
    illegal = ~legal.transition[rows[:, 1:], rows[:, :-1]] & inside[:, 1:]
    print(f"illegal transitions, {label}: {illegal.sum()}")

# %%
# How sure is the model?
# ----------------------
#
# ``entropy`` is one number a sentence, in nats. Sentences of high entropy have more errors: look at them first, or have
# them annotated next.

entropy = crf.entropy(emission, lengths)
wrong = torch.tensor([spans(row) != real for row, real in zip(best.tolist(), true, strict=True)]).float()
low, high = entropy.argsort().chunk(2)
shares = [f"{wrong[half].mean():.0%}" for half in (low, high)]
print("sentences with an error: half of low entropy", shares[0], " half of high entropy", shares[1])

# %%
# ``k_best`` lists the best sequences and their scores; exp(score - log partition function) is the probability.

chosen = next(k for k in high.tolist() if 8 <= lengths[k] <= 13 and len(true[k]) > 1)
sentence, one = evaluation[chosen][0], emission[chosen, : lengths[chosen]]


def text_of(found):
    return ", ".join(f"{' '.join(sentence[a:b])} {kind}" for a, b, kind in sorted(found))


print(" ".join(sentence), "\nannotated:", text_of(true[chosen]))
sequences, scores = crf.k_best(one, 4)
for row, probability in zip(sequences.tolist(), (scores - crf.value(one)).exp().tolist(), strict=True):
    print(f"{probability:.3f}  {text_of(spans(row))}")

# %%
# A sparse CRF
# ------------
#
# Another smoothed maximum in the place of log-sum-exp makes another distribution over tag sequences. Under
# ``SquaredL2`` (section 4.1 of the paper) and ``Tsallis`` most sequences have probability exactly 0, and ``support``
# lists the rest. In a chain ``Tsallis(2.0)`` has the probabilities of ``SquaredL2(1.0)``. Its loss is at least 0, and
# is 0, with gradient 0, once the annotated sequence has probability 1; that of ``SquaredL2`` is lower by gamma/2 for
# each word and the end.

torch.manual_seed(0)
sparse_encoder, sparse = Encoder(), LinearChainCRF(len(names), Tsallis(2.0), allowed=legal)
train(sparse_encoder, sparse)
sparse_emission, _ = evaluate(sparse_encoder, sparse)
for title, layer, scores in (("Negentropy", crf, emission), ("Tsallis", sparse, sparse_emission)):
    print(f"{title}: {(layer.marginals(scores, lengths)[inside] == 0).float().mean():.0%} of the marginals are 0")
sparse_one = sparse_emission[chosen, : lengths[chosen]]
sequences, probabilities = sparse.support(sparse_one)
print(f"{len(sequences)} of more than a million sequences are possible. The likeliest:")
for row, probability in zip(sequences[:3].tolist(), probabilities.tolist(), strict=False):
    print(f"{probability:.3f}  {text_of(spans(row))}")

# %%
# ``marginals`` has the probability of each tag at each word. It can be differentiated, so it may be part of a loss. In
# the map a line surrounds all cells that are not 0; dots are the annotation.

fig, axes = plt.subplots(2, 1, figsize=(7.0, 7.4), layout="constrained", sharex=True)
for ax, layer, scores, title in ((axes[0], crf, one, "Negentropy(1.0)"), (axes[1], sparse, sparse_one, "Tsallis(2.0)")):
    plot.trellis_marginals(layer.marginals(scores), states=names, steps=sentence, truth=tags[chosen, : len(one)], ax=ax)
    ax.set_title(title)
plt.show()

# %%
# When it goes wrong
# ------------------
#
# **The loss is infinite.** An annotated sequence is illegal, such as IOB1 tags that were not converted: it has
# likelihood -inf and gradient 0. ``crf(emission, tags, lengths).isneginf().nonzero()`` lists these items.
#
# **The first loss is high.** Small scores give the log of the number of legal sequences divided by the number of words,
# here 1.8. A first loss of 10 means large scores: divide them, or lower the rate.
#
# **The loss does not fall.** The gradient of minus the log-likelihood by the emission is the marginals minus the
# annotated tags as 0 and 1. If that holds, as below, the CRF is wired well, and the encoder is to blame.
#
# **A sparse loss stays at 0, or has no gradient for many items.** Scores are large compared with gamma: raise gamma.
#
# **Tags look shifted.** ``crf.transition`` is indexed ``[to, from]``. A matrix from another package may have to be
# transposed.
#
# :doc:`/pytorch` has the other methods of the layer: masks in the place of lengths, partial annotations, samples.

leaf, answer = one.clone().requires_grad_(), tags[chosen, : len(one)]
(-crf(leaf, answer)).backward()
assert torch.allclose(leaf.grad, crf.marginals(one).detach() - nn.functional.one_hot(answer, len(names)), atol=1e-5)

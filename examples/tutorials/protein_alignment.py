"""
Differentiable alignment of proteins
====================================

Two proteins with a common ancestor are compared by an *alignment*: some letters (amino acids) are paired, others stand
in gaps. A substitution matrix scores the pairs, two prices score the gaps, and dynamic programming finds the best
alignment. With a smoothed maximum the score has a gradient: the probability of each pair, and the derivatives by matrix
and prices. So alignments tell how certain they are, and scores can be learnt from alignments that are known.

You will align globins, read pair probabilities, differentiate by the substitution matrix and the prices of gaps, and
learn a scoring scheme from six alignments that were made from protein structures.
"""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import torch

import dagdp
from dagdp import HardMax, Negentropy
from dagdp.graphs import align_grad, align_path, align_value, alignment, alignment_text
from dagdp.nn import Target, crf_loss

# %%
# Globins, and BLOSUM62
# ---------------------
#
# Seven globins as a table of letters in columns: haemoglobin alpha and beta of man, myoglobin of the sperm whale, and
# the globins of a midge, a lamprey, a lupin and a bloodworm (Swiss-Prot: HBA_HUMAN, HBB_HUMAN, MYG_PHYCA, GLB3_CHITP,
# GLB5_PETMA, LGB2_LUPLU, GLB1_GLYDI). The columns follow the structures of the proteins, typed by hand after Bashford,
# Chothia and Lesk 1987 and figure 5.1 of Durbin et al. 1998.

GLOBINS = """
    alpha      ---------VLSPADKTNVKAAWGKVGA--HAGEYGAEALERMFLSFPTTKTYFPHF-DLS-----HGSAQVKGHGKKVADALTNA
    beta       --------VHLTPEEKSAVTALWGKV----NVDEVGGEALGRLLVVYPWTQRFFESFGDLSTPDAVMGNPKVKAHGKKVLGAFSDG
    myoglobin  ---------VLSEGEWQLVLHVWAKVEA--DVAGHGQDILIRLFKSHPETLEKFDRFKHLKTEAEMKASEDLKKHGVTVLTALGAI
    midge      ----------LSADQISTVQASFDKVKG------DPVGILYAVFKADPSIMAKFTQFAG-KDLESIKGTAPFETHANRIVGFFSKI
    lamprey    PIVDTGSVAPLSAAEKTKIRSAWAPVYS--TYETSGVDILVKFFTSTPAAQEFFPKFKGLTTADQLKKSADVRWHAERIINAVNDA
    lupin      --------GALTESQAALVKSSWEEFNA--NIPKHTHRFFILVLEIAPAAKDLFSFLKGTSEVP--QNNPELQAHAGKVFKLVYEA
    bloodworm  ---------GLSAAQRQVIAATWKDIAGADNGAGVGKDCLIKFLSAHPQMAAVFG-FSG----AS---DPGVAALGAKVLAQIGVA

    alpha      VAHV---D--DMPNALSALSDLHAHKL--RVDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR------
    beta       LAHL---D--NLKGTFATLSELHCDKL--HVDPENFRLLGNVLVCVLAHHFGKEFTPPVQAAYQKVVAGVANALAHKYH------
    myoglobin  LKKK---G--HHEAELKPLAQSHATKH--KIPIKYLEFISEAIIHVLHSRHPGDFGADAQGAMNKALELFRKDIAAKYKELGYQG
    midge      IGEL--P---NIEADVNTFVASHKPRG---VTHDQLNNFRAGFVSYMKAHT--DFA-GAEAAWGATLDTFFGMIFSKM-------
    lamprey    VASM--DDTEKMSMKLRDLSGKHAKSF--QVDPQYFKVLAAVIADTVAAG---------DAGFEKLMSMICILLRSAY-------
    lupin      AIQLQVTGVVVTDATLKNLGSVHVSKG---VADAHFPVVKEAILKTIKEVVGAKWSEELNSAWTIAYDELAIVIKKEMNDAA---
    bloodworm  VSHL--GDEGKMVAQMKAVGVRHKGYGNKHIKAQYFEPLGASLLSAMEHRIGGKMNAAAKDAWAAAYADISGALISGLQS-----
"""

rows = {}
for line in filter(str.strip, GLOBINS.splitlines()):
    name, part = line.split()
    rows[name] = rows.get(name, "") + part
proteins = {name: row.replace("-", "") for name, row in rows.items()}


def reference(a, b):
    """The pairs (i, j) of two proteins in the table."""
    places = [np.cumsum([letter != "-" for letter in rows[name]]) - 1 for name in (a, b)]
    both = [x != "-" and y != "-" for x, y in zip(rows[a], rows[b], strict=True)]
    return np.stack(places, 1)[both]


# %%
# BLOSUM62 scores pairs of letters in half bits: 2 log2 of how much more often they are paired in related proteins than
# by chance. A score for each pair of places is a lookup in the matrix.

LETTERS = "ARNDCQEGHILKMFPSTWYV"
BLOSUM62 = """
     4 -1 -2 -2  0 -1 -1  0 -2 -1 -1 -1 -1 -2 -1  1  0 -3 -2  0
    -1  5  0 -2 -3  1  0 -2  0 -3 -2  2 -1 -3 -2 -1 -1 -3 -2 -3
    -2  0  6  1 -3  0  0  0  1 -3 -3  0 -2 -3 -2  1  0 -4 -2 -3
    -2 -2  1  6 -3  0  2 -1 -1 -3 -4 -1 -3 -3 -1  0 -1 -4 -3 -3
     0 -3 -3 -3  9 -3 -4 -3 -3 -1 -1 -3 -1 -2 -3 -1 -1 -2 -2 -1
    -1  1  0  0 -3  5  2 -2  0 -3 -2  1  0 -3 -1  0 -1 -2 -1 -2
    -1  0  0  2 -4  2  5 -2  0 -3 -3  1 -2 -3 -1  0 -1 -3 -2 -2
     0 -2  0 -1 -3 -2 -2  6 -2 -4 -4 -2 -3 -3 -2  0 -2 -2 -3 -3
    -2  0  1 -1 -3  0  0 -2  8 -3 -3 -1 -2 -1 -2 -1 -2 -2  2 -3
    -1 -3 -3 -3 -1 -3 -3 -4 -3  4  2 -3  1  0 -3 -2 -1 -3 -1  3
    -1 -2 -3 -4 -1 -2 -3 -4 -3  2  4 -2  2  0 -3 -2 -1 -2 -1  1
    -1  2  0 -1 -3  1  1 -2 -1 -3 -2  5 -1 -3 -1  0 -1 -3 -2 -2
    -1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5  0 -2 -1 -1 -1 -1  1
    -2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6 -4 -2 -2  1  3 -1
    -1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7 -1 -1 -4 -3 -2
     1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4  1 -3 -2 -2
     0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5 -2 -2  0
    -3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11  2 -3
    -2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7 -1
     0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
"""
blosum = np.array(BLOSUM62.split(), float).reshape(20, 20)
numbers = {name: [LETTERS.index(letter) for letter in word] for name, word in proteins.items()}


def scores_of(matrix, a, b):
    """[N, M] the score of each pair of letters of two proteins."""
    return matrix[numbers[a]][:, numbers[b]]


# %%
# The best alignment
# ------------------
#
# Scores are maximised. A gap of n letters adds ``gap_open + (n - 1) * gap_extend``: both are negative. ``align_path``
# returns the pairs of a best alignment. -11 and -1 are BLAST's prices for BLOSUM62.

scores = scores_of(blosum, "alpha", "myoglobin")
print("score", align_value(scores, -11.0, -1.0, HardMax()), "half bits")
path = align_path(scores, -11.0, -1.0)
print(alignment_text(proteins["alpha"], proteins["myoglobin"], path, width=80))

# %%
# The expected alignment
# ----------------------
#
# Under ``Negentropy(gamma)`` an alignment of score s has a probability proportional to exp(s / gamma). In half bits,
# odds are 2 ** (s / 2), so gamma = 2 / ln 2. The gradient by the scores is the probability that two letters are paired.
# We look at lupin and lamprey, which are distant. Where the map is spread, other alignments are as good as the best.

omega = Negentropy(2.0 / np.log(2.0))
scores = scores_of(blosum, "lamprey", "lupin")
expected = align_grad(scores, -11.0, -1.0, omega)
assert expected.sum(0).max() <= 1.0 + 1e-9  # a letter is paired at most once
path = align_path(scores, -11.0, -1.0)
true = reference("lamprey", "lupin")


def draw_map(expected, path, title):
    """The second half of an expected alignment of lamprey and lupin, with the best one and that of the structures."""
    figure, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
    figure.colorbar(ax.imshow(expected, cmap="Blues", vmin=0, vmax=1), label="probability", shrink=0.7)
    ax.plot(*true.T[::-1], "o", ms=3, color="tab:red", label="structures")
    ax.plot(*path[path[:, 0] >= 0].T[::-1], lw=1, color="black", label="best alignment")
    ax.set(xlim=(75, 153), ylim=(149, 75), xlabel="lupin", ylabel="lamprey", title=title)
    ax.legend()
    plt.show()


draw_map(expected, path, "BLAST's scheme")

# %%
# How often is a pair of the best alignment right, if its probability is high?

right = {tuple(pair) for pair in true.tolist()}
sure = [(expected[i, j], (i, j) in right) for i, j in path.tolist() if i >= 0]
for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0)):
    hits = [hit for probability, hit in sure if low < probability <= high]
    print(f"probability {low} to {high}: {sum(hits)} of {len(hits)} pairs are those of the structures")

# %%
# Derivatives by matrix and prices
# --------------------------------
#
# ``align_grad(gaps=True)`` has the derivatives by the prices, too: the expected number of gaps, and of further letters
# in gaps. From torch all of them flow on: to the matrix, whose gradient is the expected number of times that two
# letters are paired, or to a network that computes scores.

found = align_grad(scores, -11.0, -1.0, omega, gaps=True)
print(f"expected gaps {found.gap_open:.2f}, and {found.gap_extend:.2f} further letters in them")
h = 1e-4
up, down = (align_value(scores, -11.0 + step, -1.0, omega) for step in (h, -h))
assert np.isclose(found.gap_open, (up - down) / (2 * h))

matrix = torch.tensor(blosum, requires_grad=True)
align_value(scores_of(matrix, "alpha", "beta"), -11.0, -1.0, omega).backward()
figure, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
figure.colorbar(ax.imshow(matrix.grad.numpy(), cmap="Blues"), label="expected number of pairs")
ax.set_xticks(range(20), LETTERS)
ax.set_yticks(range(20), LETTERS)
ax.set(xlabel="beta", ylabel="alpha")
plt.show()

# %%
# Learning from alignments
# ------------------------
#
# Are -11, -1 and gamma good numbers? We learn them from the six alignments of four globins, and keep the other 15 pairs
# for evaluation. The scoring scheme is ``scale * blosum + shift`` for pairs, and two prices: four numbers. The loss is
# minus the log-probability of the given alignment, ``crf_loss``; its gradient is the expected alignment minus the given
# one.
#
# Each pair of proteins has a graph of its own size, and ``compile_batch`` puts the graphs side by side. The prices are
# shared by all. ``Target.from_entries`` takes the pairs of an alignment, and finds the gaps between them.

known = list(combinations(["alpha", "myoglobin", "midge", "lamprey"], 2))
others = [pair for pair in combinations(proteins, 2) if pair not in known]
graphs = [alignment.pairwise_alignment(len(proteins[a]), len(proteins[b])) for a, b in known]
batch = dagdp.compile_batch(graphs, shared=["gap_open", "gap_extend"])
targets = [Target.from_entries(dag, reference(*pair), "score") for dag, pair in zip(batch.dags, known, strict=True)]

unit = np.log(2.0) / 2.0  # of half bits, so that gamma is 1
scheme = torch.tensor([1.0, 0.0, -11.0, -1.0], dtype=torch.float64) * unit
scheme.requires_grad_()  # scale, shift, gap_open, gap_extend
optimizer = torch.optim.LBFGS([scheme], max_iter=30, line_search_fn="strong_wolfe")
losses = []


def closure():
    optimizer.zero_grad()
    scale, shift, gap_open, gap_extend = scheme
    pairs = scale * torch.tensor(blosum) + shift
    theta = {"score": [scores_of(pairs, a, b) for a, b in known], "gap_open": gap_open, "gap_extend": gap_extend}
    loss = crf_loss(batch, theta, targets)
    loss.backward()
    losses.append(loss.item())
    return loss


def evaluate(scale, shift, gap_open, gap_extend):
    """Shares of the true pairs in the other 15 alignments: in the best, in the most accurate, and on average."""
    shares = []
    for a, b in others:
        scores, true = scale * scores_of(blosum, a, b) + shift, tuple(reference(a, b).T)
        expected = align_grad(scores, gap_open, gap_extend)
        for found in (align_grad(scores, gap_open, gap_extend, HardMax()), align_grad(expected, 0.0, omega=HardMax())):
            shares.append(found[true].mean())
        shares.append(expected[true].mean())
    return np.reshape(shares, (-1, 3)).mean(0)


before = evaluate(*scheme.tolist())
optimizer.step(closure)
after = evaluate(*scheme.tolist())
print(f"loss {losses[0]:.1f} before, {losses[-1]:.1f} after {len(losses)} evaluations")
scale, shift, gap_open, gap_extend = scheme.tolist()
print(f"scale {scale / unit:.2f}; in half bits of the scaled matrix: shift {shift / scale:.2f}, ", end="")
print(f"gap_open {gap_open / scale:.1f}, gap_extend {gap_extend / scale:.1f}")
print(f"{'share of true pairs in':24}the best   the most accurate   all alignments, by probability")
for name, (best, accurate, average) in (("BLAST's scheme", before), ("learnt scheme", after)):
    print(f"{name:24}{best:8.3f} {accurate:19.3f} {average:16.3f}")

# %%
# The learnt scheme pays more for any pair, and makes gaps dearer: these proteins are known to be related from end to
# end, while BLAST's numbers are for local searches. The best alignments of the other proteins are not better, but their
# probabilities are: pairs of the structures get 0.70 in place of 0.59. The *most accurate* alignment uses them. It
# maximises the expected number of right pairs, so it is an alignment with the probabilities as scores and free gaps.
#
# In your own work the scores may be the output of a network on two sequences, [N, M]: ``crf_loss`` is differentiable in
# them. ``mode="local"`` and other modes of ``align_value`` have the same derivatives. For a loss under a sparse
# operator use ``fenchel_young_loss``.

scores = scale * scores_of(blosum, "lamprey", "lupin") + shift
prices = gap_open, gap_extend
draw_map(align_grad(scores, *prices), align_path(scores, *prices), "learnt scheme")

"""
CTC with second derivatives
===========================

Connectionist temporal classification (CTC) trains a network that labels frames when only the sequence of labels is
known, and no alignment of labels with frames. ``dagdp.graphs.ctc_loss`` has the signature and the values of
``torch.nn.functional.ctc_loss``. It can be differentiated twice, which torch's cannot.

You will train a small recogniser, read expected and forced alignments, compute Hessian-vector products of the loss,
take the step size of gradient descent from the largest eigenvalue of the Hessian, train by Newton's method, and put a
sparse operator into the loss.
"""

import itertools

import matplotlib.pyplot as plt
import torch
from torch import nn

from dagdp import Tsallis, plot
from dagdp.graphs import ctc_loss, ctc_marginals, ctc_path

# %%
# Utterances whose alignment is known
# -----------------------------------
#
# An utterance is a word of 2 to 5 letters. Each letter is spoken for 2 to 4 frames, and 1 or 2 silent frames follow. A
# frame is the letter's vector of 8 numbers and noise. Class 0 is the blank. Frames come first: ``[T, batch, 8]``.

LETTERS = "-aehlo"
torch.manual_seed(0)
sounds = torch.randn(6, 8, dtype=torch.float64)
sounds[0] = 0.0


def speak(word):
    """(the class spoken at each frame, the frames [T, 8])."""
    runs = [[letter] * int(torch.randint(2, 5, ())) + [0] * int(torch.randint(1, 3, ())) for letter in word]
    spoken = torch.tensor(list(itertools.chain(*runs)))
    return spoken, sounds[spoken] + 0.45 * torch.randn(len(spoken), 8, dtype=torch.float64)


def batch_of(count):
    """(frames [T, batch, 8], words, lengths of the frames, lengths of the words)."""
    words = [torch.randint(1, 6, (int(torch.randint(2, 6, ())),)) for _ in range(count)]
    frames = [speak(word.tolist())[1] for word in words]
    padded = nn.utils.rnn.pad_sequence(frames), nn.utils.rnn.pad_sequence(words, batch_first=True)
    return *padded, torch.tensor([len(item) for item in frames]), torch.tensor([len(word) for word in words])


frames, *given = batch_of(64)
heard, *asked = batch_of(200)  # for evaluation

# %%
# One loss, two implementations
# -----------------------------
#
# The network is a window of three frames and a linear map to classes. Values agree, and so do gradients by the
# parameters.


def make_net():
    torch.manual_seed(1)
    return nn.Conv1d(8, 6, kernel_size=3, padding=1).double()


def log_probs(net, frames):
    """[T, batch, 6]."""
    return net(frames.permute(1, 2, 0)).permute(2, 0, 1).log_softmax(-1)


net = make_net()
ours, theirs = (loss(log_probs(net, frames), *given) for loss in (ctc_loss, nn.functional.ctc_loss))
first, second = (torch.autograd.grad(loss, net.weight, retain_graph=True)[0] for loss in (ours, theirs))
print(f"dagdp {ours:.6f}  torch {theirs:.6f}  greatest difference of gradients {(first - second).abs().max():.0e}")
assert torch.isclose(ours, theirs) and torch.allclose(first, second)

(slope,) = torch.autograd.grad(theirs, net.weight, create_graph=True)
try:
    torch.autograd.grad(slope.square().sum(), net.weight)
except RuntimeError as error:
    print("torch:", error)

# %%
# Training
# --------
#
# A word is read off by the best class of each frame: equal neighbours become one letter, and blanks vanish.


def read(scores, length):
    return [k for k, _ in itertools.groupby(scores[:length].argmax(-1).tolist()) if k]


def word_errors(net):
    with torch.no_grad():
        scores = log_probs(net, heard)
    words, lengths, counts = asked
    items = zip(range(len(words)), words.tolist(), counts.tolist(), lengths.tolist(), strict=True)
    return sum(read(scores[:, k], length) != word[:count] for k, word, count, length in items) / len(words)


def train(net, omega=None):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = ctc_loss(log_probs(net, frames), *given, omega=omega)
        loss.backward()
        optimizer.step()
    return loss.item()


print(f"word errors before training {word_errors(net):.0%}", end="")
print(f", loss after training {train(net):.2f}, word errors {word_errors(net):.0%}")

# %%
# ``ctc_marginals`` is the expected alignment: the probability of each class at each frame, given the word. ``ctc_path``
# is the forced alignment, the best single one. Dots show it; the axis below has the classes that were spoken.

hello = [LETTERS.index(letter) for letter in "hello"]
torch.manual_seed(5)
spoken, sound = speak(hello)
scores = log_probs(net, sound[:, None]).detach()[:, 0]
item = torch.tensor(hello), len(sound), len(hello)
fig, ax = plt.subplots(figsize=(7.0, 3.0), layout="constrained")
ticks = [LETTERS[k] for k in spoken]
plot.trellis_marginals(ctc_marginals(scores, *item), states=LETTERS, steps=ticks, truth=ctc_path(scores, *item), ax=ax)
ax.set(title="Expected and forced alignment", xlabel="spoken")
plt.show()

# %%
# Hessian-vector products
# -----------------------
#
# The gradient with ``create_graph=True`` can be differentiated again: its product with a direction v has the derivative
# Hv. Inside, dagdp runs the Hessian product of the paper's Algorithm 2. ``torch.func`` gives the same product forward
# over reverse. (``torch.autograd.functional.vhp`` works, too; ``hvp`` of that module differentiates three times, and
# raises.)

start = nn.utils.parameters_to_vector(make_net().parameters()).detach()


def objective(w):
    """The loss with a small penalty, as a function of all parameters in one vector."""
    weight, bias = w[:144].view(6, 8, 3), w[144:]
    scores = nn.functional.conv1d(frames.permute(1, 2, 0), weight, bias, padding=1).permute(2, 0, 1).log_softmax(-1)
    return ctc_loss(scores, *given) + 1e-3 * w.square().sum()


def linearise(w):
    """(value, gradient, function v -> Hv) at w."""
    w = w.clone().requires_grad_()
    value = objective(w)
    (gradient,) = torch.autograd.grad(value, w, create_graph=True)
    return value.item(), gradient.detach(), lambda v: torch.autograd.grad(gradient, w, v, retain_graph=True)[0]


v = torch.randn(150, dtype=torch.float64)
_, _, product = linearise(start)
_, forward = torch.func.jvp(torch.func.grad(objective), (start,), (v,))
assert torch.allclose(product(v), forward)
print("Hv", [round(number, 4) for number in product(v)[:5].tolist()], "...")

# %%
# A step size from the curvature
# ------------------------------
#
# Power iteration, v ← Hv / ‖Hv‖, finds the eigenvalue of largest modulus, λ. Where the Hessian is about constant,
# gradient descent with a rate above 2/λ diverges, and 1/λ is a safe rate. The parameters move, and λ with them, so it
# is measured every ten steps.


def largest_eigenvalue(product, rounds=15):
    v = torch.ones(150, dtype=torch.float64)
    for _ in range(rounds):
        v = product(v / v.norm())
    return v.norm().item()


def descend(scale, steps=40):
    """The losses of gradient descent with rate scale / λ."""
    w, losses = start, []
    for k in range(steps):
        value, gradient, product = linearise(w)
        if k % 10 == 0:
            rate = scale / largest_eigenvalue(product)
        w, losses = w - rate * gradient, [*losses, value]
    return losses


print(f"largest eigenvalue at the start: {largest_eigenvalue(product):.2f}")
runs = {f"rate {scale} / λ": descend(scale) for scale in (0.2, 1.0, 4.0)}

# %%
# Newton's method
# ---------------
#
# A Newton step solves Hd = -g. Conjugate gradients need products Hv only, here at most 12 a step. The loss is not
# convex in the parameters: at a direction of curvature 0 or less, the solver stops with what it has (Steihaug 1983).
# The step is halved until the loss falls. In the picture, rate 4/λ is ahead of 1/λ until a step leads to where the
# curvature is larger.


def newton_direction(gradient, product, rounds=12):
    d, residual = torch.zeros_like(gradient), -gradient
    p = residual
    for _ in range(rounds):
        Hp = product(p)
        if p @ Hp <= 0:
            return d if d.any() else p
        step = residual @ residual / (p @ Hp)
        d, before, residual = d + step * p, residual, residual - step * Hp
        p = residual + (residual @ residual) / (before @ before) * p
    return d


w, runs["Newton"] = start, []
for _ in range(12):
    value, gradient, product = linearise(w)
    runs["Newton"].append(value)
    d = newton_direction(gradient, product)
    rate = next((0.5**k for k in range(20) if objective(w + 0.5**k * d) < value), 0.0)
    w = w + rate * d

fig, ax = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
for label, losses in runs.items():
    ax.plot(losses, label=label)
    print(f"{label:12} loss after 11 steps {losses[11]:.2f}, at the end {losses[-1]:.2f}")
ax.set(xlabel="step", ylabel="loss", yscale="log", title="Gradient descent and Newton's method")
ax.legend()
plt.show()

# %%
# Sparse CTC
# ----------
#
# With ``omega=Tsallis(1.5)`` the loss is minus another smoothed maximum over the alignments, of which most now have
# probability exactly 0. It is no negative log-likelihood: log-probabilities are scores that a sparse operator adds up.

sparse = make_net()
train(sparse, Tsallis(1.5))
fig, axes = plt.subplots(2, 1, figsize=(7.0, 5.4), layout="constrained")
for ax, title, each, omega in (
    (axes[0], "Negentropy(1.0)", net, None),
    (axes[1], "Tsallis(1.5)", sparse, Tsallis(1.5)),
):
    scores = log_probs(each, sound[:, None]).detach()[:, 0]
    marginals = ctc_marginals(scores, *item, omega=omega)
    print(
        f"{title}: word errors {word_errors(each):.0%}, {(marginals == 0).sum()} of {marginals.numel()} marginals are 0"
    )
    plot.trellis_marginals(marginals, states=LETTERS, steps=ticks, ax=ax)
    ax.set_title(title)
plt.show()

# %%
# In a network of your own replace ``torch.nn.functional.ctc_loss`` by ``dagdp.graphs.ctc_loss``; all arguments stay. If
# the loss is infinite, a target does not fit into its frames: a word needs a frame for each letter and one more between
# equal letters. ``zero_infinity=True`` leaves such items out. :doc:`/pytorch` says what can be differentiated how
# often.

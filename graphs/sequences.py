"""Graphs of sequences, as recurrences: chains, hidden Markov models, and alignments of speech with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dagdp import Graph, GraphError, recurrence
from dagdp.graphs.alignment_grid import positive

FIRST_STEP = {
    "single": "v[0, i] = theta[0, i, 0]",
    "all": "begin[j] = 0\nv[0, i] = max[j](begin[j] + theta[0, i, j])",
}
STEPS = "v[t, i] = max[j](v[t-1, j] + theta[t, i, j])"
AFTER_THE_LAST_STEP = "done = max[i](v[-1, i])\nreturn done"
AFTER_EACH_STEP = "done[t] = max[i](v[t, i])\nreturn max[t](done[t])"

HMM = """
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
"""
SECOND_ORDER_CHAIN = """
    v[0, i, 0] = start[i] + emission[0, i]
    v[t, i, j] = when(t == 1, v[0, j, 0] + second[i, j]) + emission[t, i]
    v[t, i, j] = max[k](when(t > 1, v[t-1, j, k] + transition[i, j, k])) + emission[t, i]
"""
SEMI_MARKOV = """
    begin[0, i] = 0
    begin[t, i] = max[j](v[t-1, j] + transition[i, j])
    v[t, i] = max[d](begin[t-d, i] + segment[t-d, d, i])
"""
FACTORIAL_CHAIN = """
    v[0, i, j] = first[0, i] + second[0, j] + coupling[0, i, j]
    half[t, i, l] = max[k](v[t-1, k, l] + first_transition[i, k])
    v[t, i, j] = max[l](half[t, i, l] + second_transition[j, l]) + first[t, i] + second[t, j] + coupling[t, i, j]
"""
ALLOWED_CHAIN = """
    v[0, i] = when(allowed[0, i], start[i] + emission[0, i])
    v[t, i] = max[j](when(allowed[t, i], v[t-1, j] + transition[i, j])) + emission[t, i]
    done = max[i](v[-1, i] + end[i])
    return done
"""
LINEAR_CHAIN = """
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    done = max[i](v[-1, i] + end[i])
    return done
"""
RAGGED_CHAIN = """
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    done[t] = max[i](v[t, i] + end[i])
    return max[t](done[t])
"""


def trellis(T: int, S: int, initial: str = "single", ragged: bool = False) -> Graph:
    """The Viterbi graph: S states at each of T steps, one potential `theta` (T, S, S) as [t, to, from].

    Nodes: the start nodes, then step by step the states, then the ends. Source: Viterbi 1967;
    Mensch and Blondel, ICML 2018, section 3.1.

    Parameters
    ----------
    T, S : the numbers of steps and of states, at least 1.
    initial : "single": one start node (y_0 = 1), so of theta[0] only theta[0, :, 0] is used; (T-1)S² + 2S edges.
        "all": S start nodes with v_0 = 0, all of theta[0] is used (the paper's Algorithm 3); TS² + S edges.
    ragged : one end after every step instead of one after the last, for `end=`: `dag.ends_of(lengths)` has the ends
        of sequences of these lengths. Without `end=` the value is the maximum over all ends.

    Raises GraphError for sizes below 1, and for any other `initial`.

    >>> print(trellis(3, 2).text)
    v[0, i] = theta[0, i, 0]
    v[t, i] = max[j](v[t-1, j] + theta[t, i, j])
    done = max[i](v[-1, i])
    return done
    """
    positive("trellis", T=T, S=S)
    if initial not in FIRST_STEP:
        raise GraphError(f"initial={initial!r}; expected 'single' (one start) or 'all' (v_0 = 0 in every state)")
    text = "\n".join([FIRST_STEP[initial], STEPS, AFTER_EACH_STEP if ragged else AFTER_THE_LAST_STEP])
    return recurrence(text, t=T, i=S, j=S)


def _with_end(steps: str, states: str, ragged: bool) -> str:
    """The lines of a chain whose last cells are v[t, states], and an end: after the last step, or after each step."""
    if ragged:
        return f"{steps}    done[t] = max[{states}](v[t, {states}])\n    return max[t](done[t])"
    return f"{steps}    done = max[{states}](v[-1, {states}])\n    return done"


def hmm(T: int, S: int, ragged: bool = False) -> Graph:
    """A hidden Markov model, in logarithms: potentials start (S,), transition (S, S) as [to, from], emission (T, S).

    The text is that of `linear_chain` without `end`. A path through states y scores log p(y, observations), where
    emission[t, i] is the log-probability (or density) of the observation at t in state i. Under Negentropy(1.0) the
    value is the log-likelihood (the forward algorithm; Rabiner 1989, section III), and the gradient has the expected
    counts of the E step of Baum-Welch: `emission` the posterior of each state, `transition` the number of transitions.
    Under HardMax both are those of the Viterbi path.

    Packages that follow Rabiner have the matrix [from, to]: transpose it. T, S and ragged are those of `trellis`.
    Raises GraphError for sizes below 1.

    >>> print(hmm(3, 2).text)
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    done = max[i](v[-1, i])
    return done
    """
    positive("hmm", T=T, S=S)
    potentials = {"start": (S,), "transition": (S, S), "emission": (T, S)}
    return recurrence(_with_end(HMM, "i", ragged), potentials, t=T, i=S, j=S)


def second_order_chain(T: int, S: int, ragged: bool = False) -> Graph:
    """A chain whose states depend on the two states before: transition (S, S, S) as [to, from, before].

    Potentials start (S,) and second (S, S) as [to, from] score the first state and the step to the second state, where
    two states before do not exist yet; emission (T, S) scores each state. Cell v[t, i, j] has state i at t and state j
    at t - 1. The trigram tagger of Brants (TnT, 2000) and second-order CRFs have this form. T·S³ edges.

    T, S and ragged are those of `trellis`. Raises GraphError for sizes below 1.

    >>> print(second_order_chain(3, 2).text)
    v[0, i, 0] = start[i] + emission[0, i]
    v[t, i, j] = when(t == 1, v[0, j, 0] + second[i, j]) + emission[t, i]
    v[t, i, j] = max[k](when(t > 1, v[t-1, j, k] + transition[i, j, k])) + emission[t, i]
    done = max[i, j](v[-1, i, j])
    return done
    """
    positive("second_order_chain", T=T, S=S)
    potentials = {"start": (S,), "second": (S, S), "transition": (S, S, S), "emission": (T, S)}
    return recurrence(_with_end(SECOND_ORDER_CHAIN, "i, j", ragged), potentials, t=T, i=S, j=S, k=S)


def semi_markov(T: int, S: int, L: int, ragged: bool = False) -> Graph:
    """A semi-Markov chain: T steps are cut into segments of 1 to L steps, each in one of S states.

    Potentials: segment (T, L, S) as [first step, length - 1, state], the score of a whole segment; transition (S, S) as
    [to, from], paid between segments. Cell begin[t, i] is a segment in state i about to begin at step t, cell v[t, i] a
    segment that ends with step t. A score of the first or the last state belongs into `segment`. The semi-CRF of
    Sarawagi and Cohen (2004) and the explicit-duration HMM have this form. T·S·(S + L) edges: the choice
    of a state and the choice of a length are separate nodes. Negentropy and HardMax do not see the difference from one
    node that chooses both; sparse operators do.

    T, S, L : the numbers of steps, of states, and of steps of the longest segment, at least 1.
    ragged : as in `trellis`.

    Raises GraphError for sizes below 1.

    >>> print(semi_markov(3, 2, 2).text)
    begin[0, i] = 0
    begin[t, i] = max[j](v[t-1, j] + transition[i, j])
    v[t, i] = max[d](begin[t-d, i] + segment[t-d, d, i])
    done = max[i](v[-1, i])
    return done
    """
    positive("semi_markov", T=T, S=S, L=L)
    potentials = {"segment": (T, L, S), "transition": (S, S)}
    return recurrence(_with_end(SEMI_MARKOV, "i", ragged), potentials, t=T, i=S, j=S, d=L)


def factorial_chain(T: int, A: int, B: int, ragged: bool = False) -> Graph:
    """Two chains that are observed together: one has A states, the other B states, and a pair of states a score.

    Potentials: first (T, A) and second (T, B), the score of a state of either chain; first_transition (A, A) and
    second_transition (B, B) as [to, from]; coupling (T, A, B), the score of a pair at a step. For the factorial HMM of
    Ghahramani and Jordan (1997) coupling is the log-probability of the observation given both states; for the factorial
    CRF of Sutton, McCallum and Rohanimanesh (2007) coupling is learnt, and mostly equal at all steps. Scores of the
    first states belong into first[0] and second[0].

    The chains step one after the other, through cells half[t, i, l]: the first chain is at t, the second still at
    t - 1. So there are T·A·B·(A + B) edges where pairs of states would have T·A²·B². Negentropy and HardMax do not see
    the difference; sparse operators do.

    T, A, B : the numbers of steps and of states, at least 1.
    ragged : as in `trellis`.

    Raises GraphError for sizes below 1.

    >>> print(factorial_chain(3, 2, 2).text)
    v[0, i, j] = first[0, i] + second[0, j] + coupling[0, i, j]
    half[t, i, l] = max[k](v[t-1, k, l] + first_transition[i, k])
    v[t, i, j] = max[l](half[t, i, l] + second_transition[j, l]) + first[t, i] + second[t, j] + coupling[t, i, j]
    done = max[i, j](v[-1, i, j])
    return done
    """
    positive("factorial_chain", T=T, A=A, B=B)
    steps = {"first_transition": (A, A), "second_transition": (B, B)}
    potentials = {"first": (T, A), "second": (T, B), **steps, "coupling": (T, A, B)}
    return recurrence(_with_end(FACTORIAL_CHAIN, "i, j", ragged), potentials, t=T, i=A, j=B, k=A, l=B)


def allowed_chain(allowed: Any) -> Graph:
    """A linear chain in which each step allows some tags only: the potentials are those of `linear_chain`.

    A step whose tag is known allows one tag, a step without annotation all tags. Under Negentropy the value is the log
    of the total weight of all taggings that agree with a partial annotation; the value of `linear_chain` minus this
    value is the loss of Tsuboi et al. (2008), Training CRFs using incomplete annotations. A forbidden tag has no edge,
    and its scores are never read. For a batch of different constraints take one `linear_chain` instead, with -inf in
    the emissions of forbidden tags.

    allowed : booleans [T, S], True where a step may have a tag. Each step needs one.

    Raises GraphError for values of another shape or type, and for a step that allows no tag.

    >>> print(allowed_chain([[True, True], [False, True]]).text)
    v[0, i] = when(allowed[0, i], start[i] + emission[0, i])
    v[t, i] = max[j](when(allowed[t, i], v[t-1, j] + transition[i, j])) + emission[t, i]
    done = max[i](v[-1, i] + end[i])
    return done
    """
    flags = np.asarray(allowed)
    if flags.ndim != 2 or 0 in flags.shape or flags.dtype != np.bool_:
        raise GraphError(
            f"allowed_chain was given allowed of shape {flags.shape} and type {flags.dtype}; expected booleans [T, S]"
        )
    if not flags.any(1).all():
        raise GraphError(f"step {int(flags.any(1).argmin())} of allowed has no tag; expected one or more at each step")
    T, S = flags.shape
    potentials = {"emission": (T, S), "transition": (S, S), "start": (S,), "end": (S,)}
    return recurrence(ALLOWED_CHAIN, potentials, t=T, i=S, j=S, allowed=flags)


def linear_chain(T: int, S: int, ragged: bool = False) -> Graph:
    """A linear-chain CRF: potentials emission (T, S), transition (S, S) as [to, from], start (S,), end (S,).

    A path through states y scores start[y_0] + Σ_t emission[t, y_t] + Σ_t transition[y_t, y_{t-1}] + end[y_{T-1}]; no
    array has T·S·S entries. T, S and ragged are those of `trellis`. Source: Lafferty, McCallum and Pereira,
    "Conditional random fields", ICML 2001. Raises GraphError for sizes below 1.

    >>> print(linear_chain(3, 2).text)
    v[0, i] = start[i] + emission[0, i]
    v[t, i] = max[j](v[t-1, j] + transition[i, j]) + emission[t, i]
    done = max[i](v[-1, i] + end[i])
    return done
    """
    positive("linear_chain", T=T, S=S)
    potentials = {"emission": (T, S), "transition": (S, S), "start": (S,), "end": (S,)}
    return recurrence(RAGGED_CHAIN if ragged else LINEAR_CHAIN, potentials, t=T, i=S, j=S)


CTC = """
    a[0, s] = when(s < 2, log_prob[0, label[s]])
    a[t, s] = max(a[t-1, s], a[t-1, s-1], when(skip[s], a[t-1, s-2])) + log_prob[t, label[s]]
    return max(a[-1, -1], a[-1, -2])
"""
CTC_FOR_ANY_TARGET = """
    a[0, s] = when(s < 2, emission[0, s])
    a[t, s] = max(a[t-1, s], a[t-1, s-1], when(s % 2 == 1, a[t-1, s-2])) + emission[t, s]
    return max[s](a[-1, s])
"""
RNNT = """
    a[0, 0] = 0
    a[t, u] = max(a[t-1, u] + blank[t-1, u], a[t, u-1] + label[t, u-1])
    return a[-1, -1] + blank[-1, -1]
"""
MONOTONIC_ALIGNMENT = """
    v[0, 0] = score[0, 0]
    v[i, t] = max(v[i, t-1], v[i-1, t-1]) + score[i, t]
    return v[-1, -1]
"""
RAGGED_MONOTONIC_ALIGNMENT = """
    v[0, 0] = score[0, 0]
    v[i, t] = max(v[i, t-1], v[i-1, t-1]) + score[i, t]
    return max[i](v[i, -1])
"""


def ctc(T: int, C: int, target: Sequence[int], blank: int = 0) -> Graph:
    """Connectionist temporal classification of one target: log_prob (T, C) of C classes at T frames.

    a[t, s] is the score of all alignments of frames 0 to t that end in state s of the extended target: blank, label 1,
    blank, label 2, ..., blank. A state stays, moves on to the next, or skips a blank between two different labels.
    Source: Graves, Fernández, Gomez and Schmidhuber, ICML 2006, section 4.1. With Negentropy(1.0) and log-probabilities
    the value is log p(target), and the gradient is the posterior probability of each class at each frame.

    target : labels from 0 to C - 1 without the blank; may be empty. T has to suffice: one frame a label, and one more
        between two equal labels; `dagdp.compile` names the unreached ends otherwise.

    Raises GraphError for sizes below 1, and for labels out of range.

    >>> print(ctc(4, 3, [1, 2]).text)
    a[0, s] = when(s < 2, log_prob[0, label[s]])
    a[t, s] = max(a[t-1, s], a[t-1, s-1], when(skip[s], a[t-1, s-2])) + log_prob[t, label[s]]
    return max(a[-1, -1], a[-1, -2])
    """
    positive("ctc", T=T, C=C)
    if not 0 <= blank < C:
        raise GraphError(f"ctc was given blank={blank!r}; expected a class, 0 to {C - 1}")
    for each in target:
        if not 0 <= each < C or each == blank:
            raise GraphError(f"ctc was given a label {each!r}; expected 0 to {C - 1} without the blank {blank}")
    label = [blank, *(number for each in target for number in (each, blank))]
    skip = [s % 2 == 1 and s > 1 and label[s] != label[s - 2] for s in range(len(label))]
    return recurrence(CTC, {"log_prob": (T, C)}, t=T, s=len(label), label=label, skip=skip)


def ctc_for_any_target(T: int, L: int) -> Graph:
    """CTC of all targets of at most L labels over at most T frames, for a batch: see `dagdp.graphs.ctc_loss`.

    One potential, emission (T + 1, 2L + 2): the log-probability at frame t of the class of state s of an item's
    extended target. The recursion is that of `ctc` (Graves et al. 2006), except that every odd state may be reached
    from the odd state before. Between two equal labels a blank must stand. So this blank is written as a label of its
    own, which counts towards L, and the even states beside are closed: their emission is -inf.

    An item of n frames and m labels ends at `cell("a", n, 2m + 1)`: one frame and one state behind its data. Emission
    of this state is -inf at frames before n and 0 at frame n. The cell is then the maximum over the last label and the
    last blank, as the node that joins the two ends of `ctc`, so that values are those of `ctc` under every operator.
    Where one end can be reached alone, it is the item's end, without a further node: the last label
    `cell("a", n - 1, 2m - 1)` if no frame is left for a blank, `cell("a", n - 1, 0)` if there are no labels.

    Raises GraphError for sizes below 1.

    >>> print(ctc_for_any_target(4, 2).text)
    a[0, s] = when(s < 2, emission[0, s])
    a[t, s] = max(a[t-1, s], a[t-1, s-1], when(s % 2 == 1, a[t-1, s-2])) + emission[t, s]
    return max[s](a[-1, s])
    """
    positive("ctc_for_any_target", T=T, L=L)
    return recurrence(CTC_FOR_ANY_TARGET, t=T + 1, s=2 * L + 2)


def rnnt(T: int, U: int) -> Graph:
    """The RNN transducer: blank (T, U + 1) moves to the next frame, label (T, U) emits the next of U labels.

    a[t, u] is the score of all alignments that have emitted u labels and stand at frame t. The last blank leads out of
    the grid. Source: Graves, "Sequence Transduction with Recurrent Neural Networks", 2012, equations 16 to 18. With
    Negentropy(1.0) and log-probabilities the value is log p(target); `dagdp.graphs.rnnt_loss` is the loss of a batch.

    Raises GraphError for sizes below 1.

    >>> print(rnnt(4, 2).text)
    a[0, 0] = 0
    a[t, u] = max(a[t-1, u] + blank[t-1, u], a[t, u-1] + label[t, u-1])
    return a[-1, -1] + blank[-1, -1]
    """
    positive("rnnt", T=T, U=U)
    return recurrence(RNNT, {"blank": (T, U + 1), "label": (T, U)}, t=T, u=U + 1)


def monotonic_alignment(N: int, T: int, ragged: bool = False) -> Graph:
    """Monotonic alignment search: each of N text positions takes at least one of T frames, in order; score (N, T).

    Every frame belongs to one position. A tie is won by staying in a position. Source: Kim, Kim, Kong and Yoon,
    "Glow-TTS", NeurIPS 2020, algorithm 1. `dagdp.graphs.monotonic_alignment` is the alignment of a batch.

    ragged : True ends in any position, for `end=`: an item of n positions and t frames ends at `cell("v", n - 1,
        t - 1)`. Without `end=` the value is then the maximum over the position of the last frame.

    Raises GraphError for sizes below 1.

    >>> print(monotonic_alignment(2, 4).text)
    v[0, 0] = score[0, 0]
    v[i, t] = max(v[i, t-1], v[i-1, t-1]) + score[i, t]
    return v[-1, -1]
    """
    positive("monotonic_alignment", N=N, T=T)
    text = RAGGED_MONOTONIC_ALIGNMENT if ragged else MONOTONIC_ALIGNMENT
    return recurrence(text, {"score": (N, T)}, i=N, t=T)

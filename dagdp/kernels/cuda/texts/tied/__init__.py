"""Items of a chain under the closed form, without logarithms: see `dagdp.kernels.cuda.plan.chain` for what a chain is.

With the matrix A = exp((M - top)/γ), which each thread keeps in registers, and weights a of the states of a step,

    s_i = Σ_j A_ij a_j        a'_i = s_i exp((c_i - peak)/γ)        v_i = γ log a'_i + Σ (top + peak)

where c are the step's own entries and peak is the largest of them. One thread has one state; the row of weights goes
through shared memory, twice as long as a row, so that a step has one barrier. No factor is above 1, so that a step's
largest weight is at most S times that of the step before. Where the sum of a row has left [1/4096, 4096], the next row
is multiplied by a power of two, which is exact and waits for nothing.

The backward pass needs a and s alone: q_ij = A_ij a_j / s_i, so ē_j = a_j Σ_i A_ij r_i with r = ē/s, and the gradient
of M is A_ij Σ a_j r_i over the steps. Threads now keep a column of A, and a column of these sums.

Ranges: elements of A are 0 or at least LEAST. If none is 0, a weight that vanishes cannot matter later, as every state
follows from every other. Otherwise a weight that came near the smallest normal number spoils its item. Such an item,
one with a wider matrix, one without a path and one with a bad number are computed by the generic kernel text.
"""

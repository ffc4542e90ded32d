"""Subscripts, conditions and coefficients: for arrays what Python computes for each value."""

from __future__ import annotations

import ast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dagdp.language.arithmetic import evaluate

WEIGHTS, FLAGS = np.array([3, -2, 5, 7]), np.array([True, False, True, True])


def expressions():
    atoms = st.sampled_from(["i", "j", "2", "0", "w[i]", "w[j%4]", "ok[i]", "w[-1]", "1.5"])

    def larger(inner):
        binary = st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(lambda p: f"({' '.join(p)})")
        compared = st.tuples(inner, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), inner, inner).map(
            lambda p: f"({p[0]} {p[1]} {p[2]} <= {p[3]})"
        )
        joined = st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({' '.join(p)})")
        single = st.tuples(st.sampled_from(["not ", "-", "abs", "+"]), inner).map(lambda p: f"({p[0]}({p[1]}))")
        return st.one_of(binary, compared, joined, single)

    return st.recursive(atoms, larger, max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_values_and_faults_are_pythons(text):
    """A place has a fault where Python raises for it. Of `and` and `or` only the truth is compared."""
    node = ast.parse(text, mode="eval").body
    i, j = np.meshgrid(np.arange(4), np.arange(-1, 3), indexing="ij")
    found = evaluate(node, {"i": i, "j": j}, {"w": WEIGHTS, "ok": FLAGS})
    faulty = np.broadcast_to(found.faulty, i.shape)
    numbers = np.broadcast_to(found.numbers, i.shape)
    for place in np.ndindex(i.shape):
        names = {"i": int(i[place]), "j": int(j[place]), "w": _Checked(WEIGHTS), "ok": _Checked(FLAGS), "abs": abs}
        try:
            wanted = eval(compile(ast.Expression(_truths(text)), "", "eval"), {"__builtins__": {"bool": bool}}, names)
        except (IndexError, ZeroDivisionError):
            assert faulty[place], text
            continue
        assert not faulty[place], text
        assert numbers[place] == wanted, text


class _Checked(list):
    """A list in which a computed negative number is out of range."""

    def __init__(self, values):
        super().__init__(values.tolist())

    def __getitem__(self, place):
        if place < 0 or int(place) != place:
            raise IndexError(place)
        return super().__getitem__(int(place))


class _Truth(ast.NodeTransformer):
    """`a and b` as the truth of it, and w[-1] as w[3]."""

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        return ast.Call(ast.Name("bool", ast.Load()), [node], [])

    def visit_Subscript(self, node):
        if ast.unparse(node.slice) == "-1":
            node.slice = ast.Constant(3)
        return node


def _truths(text):
    return ast.fix_missing_locations(_Truth().visit(ast.parse(text, mode="eval").body))

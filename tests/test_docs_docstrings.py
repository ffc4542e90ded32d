"""Docstrings become reStructuredText: parameters a list, code and shapes literal, public names links, signs escaped."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXTENSIONS = Path(__file__).resolve().parents[1] / "docs" / "extensions"
KNOWN = {"dp_value": "dagdp.dp_value", "dagdp.compile": "dagdp.compile"}


@pytest.fixture(scope="module")
def rest():
    """A docstring as one text of reStructuredText; blank lines at the end cut."""
    as_rest = runpy.run_path(str(EXTENSIONS / "docstrings.py"))["as_rest"]
    return lambda text, **more: "\n".join(as_rest(text.splitlines(), KNOWN.get, **more)).rstrip()


def test_stars_and_underscores_are_letters(rest):
    assert rest("v_ij = a * b | c_") == r"v\_ij = a \* b \| c\_"


def test_quoted_names_are_links_where_the_reference_has_them(rest):
    assert rest("see `dp_value`, `x = 1`.") == "see :py:obj:`dp_value <dagdp.dp_value>`, ``x = 1``."
    assert rest("`dagdp.compile`s") == ":py:obj:`dagdp.compile <dagdp.compile>`\\ s"


def test_shapes_are_literal_and_pages_are_links(rest):
    assert rest("values [*batch, N_A] of docs/maths.md") == "values ``[*batch, N_A]`` of :doc:`/maths`"
    assert rest("numbers in [0, 1]") == "numbers in [0, 1]"


def test_items_are_parameters_with_their_continued_lines(rest):
    text = "theta, z : scores\n    [T, S] in all.\nend : a node."
    assert rest(text) == (
        ":Parameters:\n\n    **theta**, **z**\n        scores ``[T, S]`` in all.\n\n    **end**\n        a node."
    )
    assert rest(text, fields="Attributes").startswith(":Attributes:")
    assert rest("Parameters\n----------\nx : y").startswith(":Parameters:\n\n    **x**")


def test_items_after_a_colon_or_a_heading_of_their_own_have_no_field(rest):
    assert rest("Arguments of all methods:\n\nx : y") == "Arguments of all methods:\n\n**x**\n    y"
    assert rest("Class attributes\n----------------\nx : y") == ".. rubric:: Class attributes\n\n**x**\n    y"


def test_errors_are_a_field(rest):
    assert rest("Raises InputError (shape).") == ":Raises:\n\n    InputError (shape)."


def test_code_is_one_block_that_is_left_as_it_is(rest):
    code = ">>> f(*a_)\n1\n\n>>> g()\n2"
    assert rest(f"What.\n\n{code}") == f"What.\n\n.. rubric:: Example\n\n{code}"
    assert rest(f"Example\n-------\n{code}") == f".. rubric:: Example\n\n{code}"


def test_indented_blocks_are_literal(rest):
    assert rest("The text:\n\n    v[0] = 0\n    v[t] = x_") == "The text:\n\n::\n\n    v[0] = 0\n    v[t] = x_"

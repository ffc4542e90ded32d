"""What specialisation folds, what barriers become, and which texts it refuses."""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_texts import functions_of, made, module_of

from dagdp.kernels.cuda.compilation.specialise import specialised


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("literal", ["0.0", "-0.0", "-1.5", "1e-37", "2.0 / 3.0", "1 / 3", "0.1"])
def test_literals_are_of_the_real_type(tmp_path, real, literal):
    found = made(f"def f():\n    return {literal}\n", tmp_path, {"REAL": real})["f"]()
    assert type(found) is real and found == real(eval(literal)) and np.signbit(found) == np.signbit(eval(literal))


def test_integers_stay_integers_and_no_float_is_left(tmp_path):
    text = "def f(x):\n    y: float = 0.5\n    z: int\n    z = 3\n    return (x * y - 0.25, z, True, None)\n"
    function = made(text, tmp_path)["f"]
    assert not any(type(one) is float for one in function.__code__.co_consts)
    found = function(np.float32(1.0))
    assert type(found[0]) is np.float32 and found == (0.25, 3, True, None) and type(found[1]) is int


TWO_LEVELS = """
from __future__ import annotations
from dagdp.kernels.cuda.texts.names import cuda, meet

def leaf(x: int) -> int:
    '''A leaf.'''
    meet()
    return x + 1

def middle(x):
    y = leaf(x)
    a, b = pair(y)
    return leaf(a + b)

def pair(x):
    meet()
    return x, 10

def top(x):
    k = 0
    while k < 2:
        x = middle(x)
        k += 1
    leaf(x)
    return plain(x)

def plain(x):
    return x
"""


def test_barriers_become_yields_through_functions(tmp_path):
    functions = made(TWO_LEVELS, tmp_path, barrier="yield")
    results = []

    def run():
        results.append((yield from functions["top"](1)))

    stops = list(run())
    assert results == [25] and len(stops) == 2 * 3 + 1
    assert set(stops) == {"text.py:7", "text.py:16"}
    assert functions["plain"](3) == 3


@pytest.mark.parametrize(("barrier", "name"), [("block", "syncthreads"), ("warp", "syncwarp")])
def test_barriers_become_calls(tmp_path, barrier, name):
    calls = []
    space = {"cuda": SimpleNamespace(**{name: lambda: calls.append(name)})}
    assert made(TWO_LEVELS, tmp_path, space, barrier)["top"](1) == 25
    assert len(calls) == 7


def test_wrapped_functions_find_each_other(tmp_path):
    def wrap(function):
        return lambda *given: 100 * function(*given)

    texts = functions_of(module_of("def f(x):\n    return g(x) + 1\n\ndef g(x):\n    return x\n", tmp_path))
    assert specialised(texts, {"REAL": np.float32}, {}, "block", wrap)["f"](2) == 100 * (200 + 1)


def test_a_dead_barrier_makes_no_generator(tmp_path):
    text = "def f(x):\n    if NO:\n        meet()\n    return x\n"
    assert made(text, tmp_path, barrier="yield", NO=False)["f"](4) == 4


def test_the_namespace_is_copied(tmp_path):
    texts, space = (
        functions_of(module_of("def f():\n    return answer + 0.5\n", tmp_path)),
        {"answer": 42, "REAL": float},
    )
    assert specialised(texts, space, {}, "block")["f"]() == 42.5
    assert space == {"answer": 42, "REAL": float}


def test_a_traceback_shows_the_text_s_line(tmp_path):
    text = "\n\ndef f(x):\n    '''Text.'''\n    if NO:\n        pass\n    y = x\n    return 1 // y\n"
    with pytest.raises(ZeroDivisionError) as caught:
        made(text, tmp_path, NO=False)["f"](0)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.name, last.lineno, last.line) == ("f", 8, "return 1 // y") and last.filename.endswith("text.py")


def test_positions_of_an_indented_text():
    def inner(x):
        return x // 0

    function = specialised([inner], {"REAL": np.float32}, {}, "block")["inner"]
    assert function.__code__.co_firstlineno == inner.__code__.co_firstlineno
    assert function.__code__.co_filename == __file__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n    x = 1 + g()\n\ndef g():\n    meet()\n    return 1\n", "text.py:2: f uses g within"),
        ("def f():\n    h(g)\n\ndef g():\n    meet()\n\ndef h(x):\n    return x\n", "text.py:2: f uses g within"),
        ("def f(x):\n    return x if meet() else 0\n", "text.py:2: f uses meet within"),
        ("def f(x):\n    meet(x)\n", "text.py:2: f calls meet with arguments"),
        ("def f(x):\n    return [k for k in x]\n", "text.py:2: f contains ListComp"),
        ("def f(x=1):\n    return x\n", "has defaults"),
        ("def f(x):\n    return float(x)\n", "text.py:2: f calls float"),
        ("def f(x):\n    return x + 1e300\n", "outside the range of float32"),
        ("def f(x):\n    return 'text.py'\n", "text.py:2: f has the literal 'text.py'"),
        ("def f(x):\n    y = x\n    return y + nowhere\n", "text.py:3: f uses the name nowhere"),
        ("f = lambda x: x\n", "expected a def"),
    ],
)
@pytest.mark.parametrize("barrier", ["block", "yield"])
def test_texts_that_no_kernel_can_have(tmp_path, text, message, barrier):
    with pytest.raises(TypeError, match=message.replace("(", r"\(")):
        made(text, tmp_path, barrier=barrier)


def test_a_name_is_given_once():
    def f():
        return 1

    with pytest.raises(TypeError, match="each name once"):
        specialised([f, f], {"REAL": np.float32}, {}, "block")


def test_variables_around_a_text_are_refused():
    around = 3

    def f():
        return around

    with pytest.raises(TypeError, match="no variable around"):
        specialised([f], {"REAL": np.float32}, {}, "block")

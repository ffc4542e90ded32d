"""What specialisation folds, what barriers become, and which texts it refuses."""

from __future__ import annotations

import dis
import importlib.util
import textwrap
import traceback
from types import SimpleNamespace

import numpy as np
import pytest

from dagdp.kernels.cuda import names
from dagdp.kernels.cuda.records import Variant
from dagdp.kernels.cuda.specialise import specialised


@pytest.fixture
def module(tmp_path):
    """A function that makes a module of a text, in a file of its own."""

    def made(text):
        path = tmp_path / "text.py"
        path.write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location("text", path)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return made


@pytest.fixture
def make(module):
    """A function that specialises all functions of a text."""

    def made(text, barrier="block", real=np.float32, wrap=None, namespace=None, **static):
        space = {"REAL": real, "cuda": SimpleNamespace(), **(namespace or {})}
        functions = [value for value in vars(module(text)).values() if callable(value)]
        return (
            specialised(functions, space, static, barrier, wrap)
            if wrap
            else specialised(functions, space, static, barrier)
        )

    return made


def loaded(function):
    return {step.argval for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("YES", True),
        ("not YES", False),
        ("YES and NO", False),
        ("NO or TWO > 1", True),
        ("1 if YES else missing", 1),
        ("missing if NO else 1", 1),
        ("1 if x > 0 and NO else 2", 2),
        ("1 if x > 0 or YES else 2", 1),
        ("NO and missing", False),
        ("YES or missing", True),
        ("x and TWO", 2),
        ("TWO and x", 5),
        ("x and YES and 7", 7),
        ("TWO == 2 != 3", True),
        ("TWO < 2", False),
        ("kind(x)", True),
        ("not kind(missing)", False),
        ("2 * TWO + 1", 5),
        ("-TWO", -2),
        ("(x > 0) and YES", True),
        ("1 if not (x > 0 and NO) else missing", 1),
    ],
)
def test_expressions_mean_what_they_meant(make, expression, value):
    made = make(f"def f(x):\n    return {expression}\n", YES=True, NO=False, TWO=2, kind=True)["f"]
    found = made(5)
    assert found == value and type(found) is type(value)
    assert not loaded(made)


def test_dead_statements_vanish(make):
    text = """
    def f(x):
        if NO:
            return missing
        elif YES:
            x += 1
        else:
            missing
        while NO:
            missing
        for k in range(BLOCKS):
            missing
        for k in range(BLOCKS, BLOCKS + 2):
            x += 10
        if x < 0:
            if NO:
                missing
        if YES:
            return x
        missing
    """
    made = make(text, YES=True, NO=False, BLOCKS=0)["f"]
    assert made(1) == 22 and loaded(made) == {"range"}


def test_a_call_is_not_dropped_for_its_truth_alone(make):
    seen = []
    text = "def f(x):\n    if act(x) and NO:\n        return 1\n    return 0\n"
    assert make(text, NO=False, namespace={"act": seen.append})["f"](3) == 0
    assert seen == [3]


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("literal", ["0.0", "-0.0", "-1.5", "1e-37", "2.0 / 3.0", "1 / 3", "0.1"])
def test_literals_are_of_the_real_type(make, real, literal):
    found = make(f"def f():\n    return {literal}\n", real=real)["f"]()
    assert type(found) is real and found == real(eval(literal)) and np.signbit(found) == np.signbit(eval(literal))


def test_integers_stay_integers_and_no_float_is_left(make):
    text = "def f(x):\n    y: float = 0.5\n    z: int\n    z = 3\n    return (x * y - 0.25, z, True, None)\n"
    made = make(text)["f"]
    assert not any(isinstance(one, float) and type(one) is float for one in made.__code__.co_consts)
    found = made(np.float32(1.0))
    assert type(found[0]) is np.float32 and found == (0.25, 3, True, None) and type(found[1]) is int


TWO_LEVELS = """
from __future__ import annotations
from dagdp.kernels.cuda.names import cuda, meet

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


def only_functions(found):
    return [value for name, value in vars(found).items() if callable(value) and name not in ("meet", "cuda")]


def test_barriers_become_yields_through_functions(module):
    texts = only_functions(module(TWO_LEVELS))
    made = specialised(texts, {"REAL": np.float32}, {}, "yield")
    places = []

    def run():
        places.append((yield from made["top"](1)))

    stops = list(run())
    assert places == [25] and len(stops) == 2 * 3 + 1
    assert set(stops) == {"text.py:7", "text.py:16"}
    assert made["plain"](3) == 3


@pytest.mark.parametrize(("barrier", "name"), [("block", "syncthreads"), ("warp", "syncwarp")])
def test_barriers_become_calls(module, barrier, name):
    calls = []
    space = {"REAL": np.float32, "cuda": SimpleNamespace(**{name: lambda: calls.append(name)})}
    assert specialised(only_functions(module(TWO_LEVELS)), space, {}, barrier)["top"](1) == 25
    assert len(calls) == 7


def test_wrapped_functions_find_each_other(make):
    def wrap(function):
        return lambda *given: 100 * function(*given)

    made = make("def f(x):\n    return g(x) + 1\n\ndef g(x):\n    return x\n", wrap=wrap)
    assert made["f"](2) == 100 * (200 + 1)


def test_a_dead_barrier_makes_no_generator(make):
    assert make("def f(x):\n    if NO:\n        meet()\n    return x\n", "yield", NO=False)["f"](4) == 4


def test_the_namespace_is_copied(make):
    space = {"answer": 42}
    assert make("def f():\n    return answer + 0.5\n", namespace=space)["f"]() == 42.5
    assert space == {"answer": 42}


def test_a_traceback_shows_the_text_s_line(make):
    made = make(
        "\n\ndef f(x):\n    '''Text.'''\n    if NO:\n        pass\n    y = x - 1\n    return 1 // y\n", NO=False
    )
    with pytest.raises(ZeroDivisionError) as caught:
        made["f"](0)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.name, last.lineno, last.line) == ("f", 8, "return 1 // y") and last.filename.endswith("text.py")


def test_positions_of_an_indented_text():
    def inner(x):
        return x // 0

    made = specialised([inner], {"REAL": np.float32}, {}, "block")["inner"]
    assert made.__code__.co_firstlineno == inner.__code__.co_firstlineno
    assert made.__code__.co_filename == __file__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n    x = 1 + g()\n\ndef g():\n    meet()\n    return 1\n", "text.py:2: f uses g within"),
        ("def f():\n    h(g)\n\ndef g():\n    meet()\n\ndef h(x):\n    return x\n", "text.py:2: f uses g within"),
        ("def f(x):\n    return x if meet() else 0\n", "text.py:2: f uses meet within"),
        ("def f(x):\n    meet(x)\n", "text.py:2: f calls meet with arguments"),
        ("def f(x):\n    YES = 1\n", "text.py:2: f assigns to YES"),
        ("def f(YES):\n    return 1\n", "f has the parameter YES"),
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
def test_texts_that_no_kernel_can_have(make, text, message, barrier):
    with pytest.raises(TypeError, match=message.replace("(", r"\(")):
        make(text, barrier, YES=True)


def test_a_name_is_given_once(make):
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


@pytest.mark.parametrize("use", [bool, int, range, lambda x: x + 1, lambda x: x > 0, lambda x: x(), lambda x: x.field])
def test_a_text_as_it_stands_does_not_run(use):
    with pytest.raises(TypeError, match="TANGENT was used in a kernel text as it stands"):
        use(names.TANGENT)
    with pytest.raises(TypeError, match="meet was used"):
        names.meet()


def test_static_values_cover_every_static_name():
    variant = Variant(True, True, False, False, 1, 2, False, False, True, False, False)
    static = names.static_values(variant, "exponential")
    bound = {"REAL", "REAL_TYPE", "ZERO", "ONE", "INFINITY", "EPSILON", "WARP_SIZE"}
    assert {name for name in vars(names) if name.isupper()} - bound == {name for name in static if name.isupper()}
    assert static["TANGENT"] is True and static["NODE_BLOCKS"] == 2 and static["KEEPS"] is True
    assert static["EXPONENTIAL"] is static["exponential"] is True and static["FIRST"] is static["first_only"] is False

"""Types of parameters: those that records.py writes beside each field."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from dagdp import Negentropy, Tsallis
from dagdp.kernels.cuda import records
from dagdp.kernels.cuda.compilation.parameters import number_types, parameters, ptx_names

WRITTEN = {"int32": np.int32, "int64": np.int64}


def written(record: type, real: type) -> dict[str, type]:
    """The type that the comment beside a field names; the kernel's real type where it names none."""
    comments = dict(re.findall(r"^    (\w+): Any  # ?(.*)$", inspect.getsource(record), flags=re.M))
    comments = {name: comments.get(name, "") for name in record._fields}
    return {name: WRITTEN.get(re.split(r"\W", comment)[0], real) for name, comment in comments.items()}


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_types_are_those_written_beside_the_fields(real):
    found = parameters(real)
    assert found.call._asdict() == written(records.Call, real)
    assert found.arrays._asdict() == written(records.Arrays, real)
    assert found.state._asdict() == dict.fromkeys(records.State._fields, real)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("omega", [Negentropy(1.0), Tsallis(1.3)])
def test_numbers_come_first_and_each_array_is_one_address(omega, real):
    data = type(omega.data(real))
    numbers = number_types(data, real)
    assert numbers[: len(data._fields)] == (real,) * len(data._fields)
    assert len(numbers) == len(data._fields) + len(records.Call._fields)
    names = ptx_names(data, real)
    assert [int(name[1:]) // 8 for name in names[: len(numbers)]] == [np.dtype(kind).itemsize for kind in numbers]
    assert [name[0] for name in names[: len(numbers)]] == ["f" if kind is real else "u" for kind in numbers]
    arrays = len(records.Arrays._fields) + len(records.State._fields)
    assert names[len(numbers) :] == ("u64",) * arrays

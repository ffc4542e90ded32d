"""Names of kernel texts have no value until a text is specialised."""

from __future__ import annotations

import pytest

from dagdp.kernels.cuda.records import Variant
from dagdp.kernels.cuda.texts import names


@pytest.mark.parametrize("use", [bool, int, range, lambda x: x + 1, lambda x: x > 0, lambda x: x(), lambda x: x.field])
def test_a_text_as_it_stands_does_not_run(use):
    with pytest.raises(TypeError, match="TANGENT was used in a kernel text as it stands"):
        use(names.TANGENT)
    with pytest.raises(TypeError, match="meet was used"):
        names.meet()


def test_static_values_cover_every_static_name():
    variant = Variant(True, True, False, False, 1, 2, False, False, True, False, False)
    static = names.static_values(variant, "exponential")
    bound = {"REAL", "REAL_TYPE", "INTEGER", "NATURAL", "ZERO", "ONE", "INFINITY", "EPSILON", "TINY", "LEAST"} | {
        "WARP_SIZE"
    }
    assert {name for name in vars(names) if name.isupper()} - bound == {name for name in static if name.isupper()}
    assert static["TANGENT"] is True and static["NODE_BLOCKS"] == 2 and static["KEEPS"] is True
    assert static["EXPONENTIAL"] is static["exponential"] is True and static["FIRST"] is static["first_only"] is False

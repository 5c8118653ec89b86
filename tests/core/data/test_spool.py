from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vasomim_core.data.spool import spool

pixels = st.sampled_from([np.uint8, np.bool_, np.uint16]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=2, max_side=6))
)


@given(st.lists(pixels, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_kept_comes_back_in_any_order(tmp_path: Path, kept: list[np.ndarray]) -> None:
    with spool(tmp_path) as keep:
        back = [keep(plane) for plane in kept]
        for plane, again in [*zip(kept, back, strict=True)][::-1]:
            np.testing.assert_array_equal(again(), plane)
            assert again().dtype == plane.dtype
            again()[:] = 0
            np.testing.assert_array_equal(again(), plane)


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    with spool(tmp_path / "new") as keep:
        keep(np.ones((4, 5), np.uint8))
    assert list((tmp_path / "new").iterdir()) == []

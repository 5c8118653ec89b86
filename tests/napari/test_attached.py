"""Objects that belong to a viewer or a layer: one of each class, shared by proxies, gone with their owner."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_vasomim.attached import PerViewer, attach, attached, detach

pytestmark = pytest.mark.once  # what is tested here knows no Qt


class One(PerViewer):
    pass


class Other(PerViewer):
    pass


def test_each_viewer_has_one_of_each_class(qapp):
    first, second = ViewerModel(), ViewerModel()
    assert One.known(first) is None
    made = One.of(first)
    assert type(made) is One
    assert One.of(first) is One.known(first) is made
    assert One.known(second) is None
    assert type(Other.of(first)) is Other
    assert One.of(second) is not made


def test_proxies_share_it(make_napari_viewer_proxy):
    proxy = make_napari_viewer_proxy()
    assert One.of(proxy) is One.of(proxy.__wrapped__)


def test_a_layer_has_the_last_of_a_class():
    layer = Image(np.zeros((8, 9)))
    first, second = One(None), One(None)
    attach(layer, first)
    attach(layer, second)
    assert attached(layer, One) is second
    assert attached(layer, Other) is None
    detach(layer, Other)  # it has none
    detach(layer, One)
    assert attached(layer, One) is None


@pytest.mark.parametrize("make", [ViewerModel, lambda: Image(np.zeros((8, 9)))])
def test_it_goes_with_its_owner(qapp, make):
    owner = make()
    attach(owner, One(None))
    thing = weakref.ref(attached(owner, One))
    del owner
    gc.collect()
    assert thing() is None

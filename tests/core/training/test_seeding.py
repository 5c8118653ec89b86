"""What is drawn for a key stays what it is: else no run of today could be repeated tomorrow."""

from __future__ import annotations

import numpy as np
import torch

from vasomim_core.training.seeding import crop_stream, order_stream, seed_layers, weights_from


def test_every_stream_draws_what_it_always_drew():
    assert order_stream(3, 1).permutation(6).tolist() == [1, 2, 0, 4, 5, 3]
    assert crop_stream(3, 1, 4).integers(1000, size=3).tolist() == [357, 721, 273]
    before = torch.random.get_rng_state()
    with weights_from(3):
        assert torch.initial_seed() == 3
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng():
        seed_layers(3, 1, 4)
        assert torch.initial_seed() == 3304465307


def test_other_keys_draw_something_else():
    assert len({crop_stream(*key).random() for key in np.ndindex(3, 3, 3)}) == 27
    assert len({order_stream(*key).random() for key in np.ndindex(3, 3)}) == 9

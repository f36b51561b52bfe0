from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.metrics import SanityError, require_sane, sanity_gate


@pytest.fixture
def sound() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)


def test_a_sound_video_passes(sound, truth):
    assert sanity_gate(sound) == []
    assert sanity_gate(sound.astype(np.float32)) == []
    assert sanity_gate((sound * 0.08).astype(np.uint8)) == []  # a dark night
    require_sane(truth.generated)


def test_nan_black_flat_and_frozen_are_named(sound):
    broken = sound.astype(np.float32)
    broken[3, 4, 5, 0] = np.nan
    assert sanity_gate(broken) == ["NaN or infinite pixels in 1 of 8 frames"]
    assert sanity_gate(np.zeros_like(sound)) == ["8 of 8 frames are black"]
    assert sanity_gate(np.full_like(sound, 128)) == ["8 of 8 frames have one constant colour"]
    assert sanity_gate(np.repeat(sound[:1], 8, axis=0)) == ["frozen: 7 of 8 frames repeat the one before"]


def test_half_a_black_clip_fails_and_one_frame_does_not(sound):
    partly = sound.copy()
    partly[4:] = 0
    assert sanity_gate(partly) == ["4 of 8 frames are black"]
    blink = sound.copy()
    blink[3] = 0
    assert sanity_gate(blink) == []


def test_one_error_names_every_view(sound):
    with pytest.raises(SanityError, match=r"left: 8 of 8 frames are black; right: frozen") as caught:
        require_sane({"left": np.zeros_like(sound), "right": np.repeat(sound[:1], 8, axis=0), "front": sound})
    assert isinstance(caught.value, UserError)
    assert "front" not in str(caught.value)

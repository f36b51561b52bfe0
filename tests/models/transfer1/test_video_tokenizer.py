"""Pixels to latents and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_cosmos import CosmosCausalConv3d, CosmosUnpatcher3d

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer1.decoder_layers import TemporalConv, Unpatcher
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer, latent_frame_count, to_signed, to_uint8

VAE = {
    "encoder_block_out_channels": (8, 8, 8),
    "decode_block_out_channels": (8, 8, 8, 8),
    "attention_resolutions": (),
    "num_layers": 1,
}


def test_uint8_survives_the_trip_through_floats():
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    signed = to_signed(frames)
    assert signed.shape == (3, 5, 4, 6)
    assert signed.min() >= -1 and signed.max() <= 1
    assert np.abs(to_uint8(signed).astype(int) - frames).max() <= 1  # truncated, as the reference does
    assert to_uint8(torch.full((3, 1, 1, 1), 1.7)).item(0) == 255


def test_shapes_and_statistics():
    torch.manual_seed(0)
    tokenizer = VideoTokenizer(VAE).eval()
    pixels = torch.rand(2, 3, 17, 32, 48) * 2 - 1
    with torch.no_grad():
        plain = tokenizer.encode(pixels)
        assert plain.shape == (2, 16, 3, 4, 6)
        decoded = tokenizer.decode(plain)
        assert decoded.shape == pixels.shape
        mean, std = torch.randn(16), torch.rand(16) + 0.5
        tokenizer.set_statistics(mean, std)
        scaled = tokenizer.encode(pixels)
        raw = plain / 0.5
        torch.testing.assert_close(scaled, (raw - mean.reshape(16, 1, 1, 1)) / std.reshape(16, 1, 1, 1) * 0.5)
        torch.testing.assert_close(tokenizer.decode(scaled), decoded, atol=1e-4, rtol=1e-4)


def test_statistics_per_latent_frame():
    """The released layout: one value per channel and latent frame, cut to the clip's length."""
    torch.manual_seed(0)
    tokenizer = VideoTokenizer(VAE, stat_frames=4).eval()
    mean = torch.arange(64.0).reshape(16, 4)
    with torch.no_grad():
        plain = tokenizer.encode(torch.zeros(1, 3, 9, 16, 16))
        tokenizer.set_statistics(mean, torch.full((64,), 2.0))
        shifted = tokenizer.encode(torch.zeros(1, 3, 9, 16, 16))
    expected = (plain / 0.5 - mean[:, :2].reshape(16, 2, 1, 1)) / 2 * 0.5
    torch.testing.assert_close(shifted, expected)
    with pytest.raises(UserError, match="5 latent frames"):
        tokenizer.encode(torch.zeros(1, 3, 33, 16, 16))


@pytest.mark.parametrize(("frames", "nearest"), [(0, "1 or 9"), (8, "1 or 9"), (24, "17 or 25")])
def test_frame_counts_are_1_plus_8k(frames, nearest):
    with pytest.raises(UserError, match=f"nearest {nearest}"):
        latent_frame_count(frames)
    assert [latent_frame_count(n) for n in (1, 9, 121)] == [1, 2, 16]


def test_sizes_must_divide():
    with pytest.raises(UserError, match="40x32"):
        VideoTokenizer(VAE).encode(torch.zeros(1, 3, 9, 32, 40))


@pytest.mark.parametrize("frames", [1, 9, 33])
def test_a_clip_in_chunks_gives_the_same_latents_and_pixels(frames):
    torch.manual_seed(0)
    tokenizer = VideoTokenizer(VAE | {"num_layers": 2, "encoder_block_out_channels": (8, 8, 8, 8)}).eval()
    pixels = torch.rand(2, 3, frames, 32, 48) * 2 - 1
    with torch.no_grad():
        latents = tokenizer.encode(pixels)
        decoded = tokenizer.decode(latents)
        for tokenizer.chunk in (1, 2, 4):
            torch.testing.assert_close(tokenizer.encode(pixels), latents, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(tokenizer.decode(latents), decoded, atol=1e-5, rtol=1e-5)
        pieces = list(tokenizer.decoded(latents))
        assert [piece.shape[2] for piece in pieces] == [min(25, frames)] + [8] * (frames > 25)


def test_a_tokenizer_that_attends_over_time_takes_no_chunks():
    tokenizer = VideoTokenizer(VAE | {"attention_resolutions": (256,)}).eval()
    tokenizer.chunk = 1
    with torch.no_grad(), pytest.raises(UserError, match="tokenizer_chunk"):
        tokenizer.encode(torch.zeros(1, 3, 9, 16, 16))


def test_sums_and_differences_are_what_the_wavelets_convolutions_give():
    hidden = torch.randn(1, 192, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    expected = CosmosUnpatcher3d(4, "haar")(hidden)
    with torch.no_grad():
        assert torch.equal(Unpatcher(4, "haar")(hidden), expected)
    assert Unpatcher(4, "haar")(hidden.requires_grad_()).requires_grad


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_along_frames_is_that_of_diffusers(stride):
    torch.manual_seed(0)
    hidden = torch.randn(2, 6, 5, 4, 6)
    plain = CosmosCausalConv3d(6, 8, (3, 1, 1), stride=(stride, 1, 1), padding=0)
    layer = TemporalConv(6, 8, (3, 1, 1), stride=(stride, 1, 1), padding=0)
    layer.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(layer(hidden), plain(hidden), rtol=1e-5, atol=1e-6)
    assert torch.equal(layer(hidden), plain(hidden))


def test_the_decoder_has_such_convolutions_alone():
    layers = [m for m in VideoTokenizer(VAE).vae.decoder.modules() if isinstance(m, CosmosCausalConv3d)]
    along_frames = [layer for layer in layers if layer.kernel_size[0] > 1]
    assert along_frames and all(type(layer) is TemporalConv for layer in along_frames)

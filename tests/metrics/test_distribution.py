"""FID and FVD with small networks of the published ones' interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.sweep_folder import write_run, write_sweep

from cosmos_exp.cli.commands.distance import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.metrics.distribution import WINDOW, load_detector, set_features
from cosmos_exp.metrics.frechet import frechet_distance


class Frames(torch.nn.Module):
    """Mean colour of frames [N,3,H,W] uint8."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return images.float().mean(dim=(2, 3))


class Windows(torch.nn.Module):
    """First frame and mean change of windows [N,3,16,H,W] in 0..255."""

    def forward(self, videos: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        means = videos.mean(dim=(3, 4))
        return torch.cat([means[:, :, 0], means[:, :, -1] - means[:, :, 0]], dim=1)


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("networks")
    for kind, network in (("fid", Frames()), ("fvd", Windows())):
        torch.jit.script(network).save(folder / f"{kind}.pt")
    return {kind: folder / f"{kind}.pt" for kind in ("fid", "fvd")}


def clips(number: int, *, offset: float = 0.0, brighter: float = 0.0) -> list[tuple[Path, np.ndarray]]:
    rng = np.random.default_rng(0)
    colours = rng.uniform(60, 150, (number, 1, 1, 1, 3)) + offset
    change = brighter * np.arange(2 * WINDOW)[:, None, None, None] / (WINDOW - 1)
    return [(Path(f"{i}.mp4"), np.tile(c + change, (1, 8, 8, 1)).astype(np.uint8)) for i, c in enumerate(colours)]


def test_equal_sets_have_no_distance_and_a_shift_has_its_square(networks):
    detector = load_detector("fid", networks["fid"])
    found = {offset: set_features(detector, clips(6, offset=offset)) for offset in (0.0, 10.0)}
    assert found[0.0].shape == (6 * 8, 3), "one of four frames"
    assert frechet_distance(found[0.0], found[0.0]) < 1e-6
    assert frechet_distance(found[0.0], found[10.0]) == pytest.approx(3 * 10.0**2, rel=1e-3)


def test_fvd_sees_motion_that_fid_of_first_frames_does_not(networks):
    detector = load_detector("fvd", networks["fvd"])
    still, moving = (set_features(detector, clips(6, brighter=b)) for b in (0.0, 20.0))
    assert still.shape == (12, 6), "two windows a clip"
    assert frechet_distance(still, moving) > 3 * 19.0**2


def test_what_cannot_be_read_is_named(networks, tmp_path):
    detector = load_detector("fvd", networks["fvd"])
    with pytest.raises(UserError, match=r"9\.mp4: 9 frames; fvd reads 16 at a time"):
        set_features(detector, [(Path("9.mp4"), np.zeros((9, 8, 8, 3), np.uint8))])
    with pytest.raises(UserError, match="needs two samples or more on either side; there are 1"):
        set_features(detector, [(Path("a.mp4"), np.zeros((16, 8, 8, 3), np.uint8))])
    (tmp_path / "broken.pt").write_bytes(b"PK no network")
    with pytest.raises(UserError, match=r"broken.pt: not a TorchScript network such as i3d_torchscript.pt"):
        load_detector("fvd", tmp_path / "broken.pt")
    with pytest.raises(UserError, match=r"not a TorchScript network such as i3d"):
        load_detector("fvd", networks["fid"])
    with pytest.raises(UserError, match=r"no such file; inception-2015-12-05.pt is published"):
        load_detector("fid", tmp_path / "none.pt")
    with pytest.raises(UserError, match="give --fid FILE, --fvd FILE or both"):
        main([str(tmp_path), "--to", str(tmp_path)])


def test_every_setting_of_a_sweep_is_compared_in_its_style(networks, tmp_path, capsys):
    sweep = write_sweep(tmp_path / "sweep")
    write_run(tmp_path / "rendered" / "0", ["scene.seed=4"])
    main([str(sweep), "--to", str(tmp_path / "rendered"), "--fid", str(networks["fid"])])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "sampler.guidance=" in line]
    assert [row[-2:] for row in rows].count(["-", "│"]) >= 2, "a run without videos has no distance"
    assert any("6" in row and float(row[-2]) < 1e-3 for row in rows if row[-2] != "-"), "the same videos"
    write_run(tmp_path / "other" / "0", ["scene.seed=4"], styles=("Snowy",))
    with pytest.raises(UserError, match="no videos in the style Night; there are: Snowy"):
        main([str(sweep), "--to", str(tmp_path / "other"), "--fid", str(networks["fid"])])

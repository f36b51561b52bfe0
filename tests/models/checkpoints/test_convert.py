"""Published checkpoints at small sizes, in the true layout, to a model folder and back into networks."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published import published_network, write_text_encoder, write_tokenizer
from safetensors.torch import load_file, save_file

from cosmos_exp.cli.commands.convert import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.models.checkpoints.checkpoint import own_tensors, read_metadata
from cosmos_exp.models.checkpoints.convert import convert_checkpoint
from cosmos_exp.models.checkpoints.pickled import read_pickled
from cosmos_exp.models.checkpoints.released import released_config, released_files
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.text import TextEncoder
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer
from cosmos_exp.models.transfer1.transformer import DiT

SIZE = {
    "model_channels": 24,
    "num_blocks": 2,
    "num_heads": 2,
    "text_channels": 16,
    "adaln_lora_dim": 4,
    "max_size": [16, 8, 12],
}
WORDS = ["snow", "rain", "night"]


def small(name: str) -> dict:
    """A released model's config with narrow layers: same keys, same channels into the patch embedders."""
    config = json.loads(json.dumps(released_config(name)))
    config["contract"] |= {"text_tokens": 6}
    config["tokenizer"]["vae"] |= {
        "encoder_block_out_channels": [8, 8, 8, 8],
        "decode_block_out_channels": [8, 8, 8, 8],
        "num_layers": 1,
    }
    config["text_encoder"] |= {
        "vocab_size": 3 + len(WORDS),
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
    }
    for stage in ("single_view", "multi_view"):
        if config[stage]:
            config[stage]["base"] |= SIZE
            for control in config[stage]["controls"].values():
                control |= SIZE | {"num_blocks": 1}
    return config


def networks(config: dict) -> dict[str, DiT | ControlEncoder]:
    """{part: network with random weights}."""
    torch.manual_seed(0)
    nets = {}
    for prefix, stage in (("", config["single_view"]), ("multiview_", config["multi_view"])):
        if stage:
            nets[f"{prefix}base"] = DiT(DiTConfig.from_dict(stage["base"]))
            for name, values in stage["controls"].items():
                nets[f"{prefix}control_{name}"] = ControlEncoder(DiTConfig.from_dict(values))
    for net in nets.values():
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter)
    return nets


def write_published(root, name: str) -> tuple[dict, dict, dict]:
    """Published files of a small model; its config, its networks and the two encoders by part."""
    config, files = small(name), released_files(name)
    parts: dict = networks(config)
    torch.manual_seed(1)
    parts["tokenizer"] = VideoTokenizer(config["tokenizer"]["vae"], 16)
    parts["tokenizer"].set_statistics(torch.randn(16, 16), torch.rand(16, 16) + 0.5)
    parts["text_encoder"] = TextEncoder(config["text_encoder"], 6).eval()
    together: dict = {}
    for part, (repository, names) in files.items():
        folder = root / repository
        if part == "tokenizer":
            write_tokenizer(folder, parts[part])
        elif part == "text_encoder":
            write_text_encoder(folder, parts[part], WORDS)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            both = name == "edge_distilled"
            prefix = {(True, "b"): "net.base_model.net.", (True, "c"): "net.net_ctrl."}.get((both, part[0]), "net.")
            path = folder / names[0]
            together.setdefault(path, {}).update(published_network(parts[part], prefix))
    for path, state in together.items():
        torch.save({"model": state} if name == "edge_distilled" else state, path)
    return config, files, parts


@pytest.fixture(scope="module")
def av(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return root, *write_published(root, "transfer1_7b_av")


@pytest.mark.parametrize("name", ["single2multiview_v2w_waymo", "edge_distilled", "upscaler_4k"])
def test_a_published_model_becomes_a_folder_that_loads(name, tmp_path):
    config, files, parts = write_published(tmp_path / "published", name)
    folder = tmp_path / "model"
    written = convert_checkpoint(tmp_path / "published", folder, config, files)
    assert written == list(files)
    model = WorldModel.from_folder(folder, dtype=torch.bfloat16)
    nets = {"": model.single_view().net}
    if config["multi_view"]:
        nets["multiview_"] = model.multi_view().net
    for prefix, net in nets.items():
        loaded = {f"{prefix}base": net.base} | {f"{prefix}control_{k}": v for k, v in net.controls.items()}
        for part, module in loaded.items():
            theirs = parts[part].state_dict()
            for key, value in module.state_dict().items():
                assert value.dtype == torch.bfloat16
                assert torch.equal(value, theirs[key].bfloat16()), (part, key)
    for part in (model.tokenizer, model.text_encoder):
        kind = "tokenizer" if isinstance(part, VideoTokenizer) else "text_encoder"
        for key, value in own_tensors(part).items():
            expected = parts[kind].state_dict()[key]
            rounded = expected.bfloat16().float() if key.startswith("vae.") else expected
            assert torch.equal(value, rounded), key
    video = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    assert model.decode(model.encode_video(video)).shape == video.shape


def test_words_of_a_vocabulary_are_read(av, tmp_path):
    root, config, files, parts = av
    convert_checkpoint(root, tmp_path, config, files)
    encoder = WorldModel.from_folder(tmp_path).text_encoder
    ids, mask = encoder.tokenize(["night snow", "fog"])
    assert ids.tolist() == [[5, 3, 1, 0, 0, 0], [2, 1, 0, 0, 0, 0]]
    torch.testing.assert_close(encoder(ids, mask), parts["text_encoder"](ids, mask))


def test_parts_there_are_kept_and_other_models_parts_refused(av, tmp_path):
    root, config, files, _ = av
    assert convert_checkpoint(root, tmp_path, config, files, parts=["base"]) == ["base"]
    assert read_metadata(tmp_path / "base.safetensors")["source"].endswith("Sample-AV/base_model.pt")
    assert "base" not in convert_checkpoint(root, tmp_path, config, files)
    assert convert_checkpoint(root, tmp_path, config, files, parts=["base"], overwrite=True) == ["base"]
    other = {part: ("nvidia/Cosmos-Transfer1-7B", names) for part, (_, names) in files.items()}
    with pytest.raises(UserError, match=r"is from nvidia/Cosmos-Transfer1-7B-Sample-AV/base_model\.pt.*--overwrite"):
        convert_checkpoint(root, tmp_path, config, other, parts=["base"])


def test_one_file_is_enough_for_its_part(av, tmp_path):
    root, config, files, _ = av
    path = root / "nvidia/Cosmos-Transfer1-7B-Sample-AV/hdmap_control.pt"
    assert convert_checkpoint(path, tmp_path, config, files) == ["control_hdmap"]
    with pytest.raises(UserError, match=r"'x\.pt': .*allowed: encoder\.jit"):
        path.with_name("x.pt").touch()
        convert_checkpoint(path.with_name("x.pt"), tmp_path, config, files)
    with pytest.raises(UserError, match="did you mean 'control_hdmap'"):
        convert_checkpoint(root, tmp_path, config, files, parts=["hdmap"])


def test_absent_files_are_all_named(av, tmp_path):
    _, config, files, _ = av
    with pytest.raises(UserError) as caught:
        convert_checkpoint(tmp_path, tmp_path / "model", config, files)
    for repository, names in files.values():
        assert all(f"{repository}/{name}" in str(caught.value) for name in names)
    assert not (tmp_path / "model").exists()
    with pytest.raises(UserError, match="no file or folder"):
        convert_checkpoint(tmp_path / "nowhere", tmp_path, config, files)


PICKLED = ("nvidia/Cosmos-Transfer1-7B-Sample-AV/base_model.pt", "google-t5/t5-11b/pytorch_model.bin")


def test_the_command_makes_a_model_of_some_controls(av, tmp_path):
    """At full size nothing fits here: the command names what is too small."""
    root = av[0]
    assert "lidar" not in json.dumps(released_config("single2multiview_t2w", ["hdmap"])["multi_view"])
    assert "control_lidar" not in released_files("transfer1_7b_av", ["hdmap"])
    command = ["checkpoint", str(root), "-o", str(tmp_path), "--model", "transfer1_7b_av"]
    with pytest.raises(UserError, match=r"patch_embed\.proj\.weight is \(24, 68\), must be \(4096, 68\)"):
        main([*command, "--controls", "hdmap", "--parts", "control_hdmap"])
    with pytest.raises(UserError, match="did you mean 'lidar'"):
        main([*command, "--controls", "lidr"])
    with pytest.raises(UserError, match="unknown part of the model 'control_lidar'"):
        main([*command, "--controls", "hdmap", "--parts", "control_lidar"])
    with pytest.raises(UserError, match="did you mean 'bfloat16'"):
        main([*command, "--dtype", "bfloat"])


def damage(state: dict, how: str) -> dict:
    if how == "missing":
        del state["net.final_layer.linear.weight"]
    elif how == "extra":
        state["net.spare.weight"] = torch.zeros(2)
    elif how == "shape":
        state["net.x_embedder.proj.1.weight"] = torch.zeros(24, 72)
    return state


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"missing: proj_out\.weight \(64, 24\)"),
        ("extra", r"not expected: spare\.weight \(2,\)"),
        ("shape", r"patch_embed\.proj\.weight is \(24, 72\), must be \(24, 68\)"),
    ],
)
def test_misfits_are_named_and_nothing_is_written(how, message, av, tmp_path):
    _, config, files, parts = av
    torch.save(damage(published_network(parts["base"]), how), tmp_path / "base_model.pt")
    with pytest.raises(UserError, match=message):
        convert_checkpoint(tmp_path / "base_model.pt", tmp_path / "model", config, files)
    assert not list((tmp_path / "model").iterdir())


@pytest.mark.parametrize("file", PICKLED)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated_files(file, share, av, tmp_path):
    root, config, files, _ = av
    path = tmp_path / file.rpartition("/")[2]
    content = (root / file).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    part = "base" if "base" in path.name else "text_encoder"
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(UserError, match="cannot be read, it may be truncated"):
        convert_checkpoint(tmp_path, tmp_path / "model", config, files, parts=[part])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated_torchscript(share, av, tmp_path):
    content = (av[0] / "nvidia/Cosmos-Tokenize1-CV8x8x8-720p/encoder.jit").read_bytes()
    (tmp_path / "encoder.jit").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match="cannot be read, it may be truncated"):
        read_pickled(tmp_path / "encoder.jit")


def test_a_corrupt_pickle_is_found_by_its_checksum(av, tmp_path):
    content = (av[0] / "nvidia/Cosmos-Tokenize1-CV8x8x8-720p/encoder.jit").read_bytes()
    (tmp_path / "encoder.jit").write_bytes(content.replace(b"conv_in", b"conv_on"))
    with pytest.raises(UserError, match="Bad CRC-32"):
        read_pickled(tmp_path / "encoder.jit")


class Evil:
    def __reduce__(self):
        return (open, ("evil_was_here", "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_not_run(zipped, av, tmp_path, monkeypatch):
    _, config, files, parts = av
    monkeypatch.chdir(tmp_path)
    state = published_network(parts["base"]) | {"evil": Evil()}
    torch.save(state, tmp_path / "base_model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"it names \S+open, which is no tensor; nothing of it was run"):
        convert_checkpoint(tmp_path / "base_model.pt", tmp_path / "model", config, files)
    (tmp_path / "base_model.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="nothing of it was run"):
        convert_checkpoint(tmp_path / "base_model.pt", tmp_path / "model", config, files)
    assert not (tmp_path / "evil_was_here").exists()


@pytest.mark.parametrize(("dtype", "stored"), [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16)])
def test_networks_are_stored_as_asked(dtype, stored, av, tmp_path):
    root, config, files, parts = av
    convert_checkpoint(root, tmp_path, config, files, parts=["base"], dtype=dtype)
    state = load_file(tmp_path / "base.safetensors")
    assert {value.dtype for value in state.values()} == {stored}
    assert torch.equal(state["proj_out.weight"], parts["base"].proj_out.weight.to(stored))


def test_a_control_file_takes_what_it_lacks_from_its_base(av, tmp_path):
    _, config, files, parts = av
    state = published_network(parts["control_hdmap"])
    del state["net.t_embedder.1.linear_1.weight"]
    torch.save(state, tmp_path / "hdmap_control.pt")
    torch.save(published_network(parts["base"]), tmp_path / "base_model.pt")
    convert_checkpoint(tmp_path, tmp_path / "m", config, files, parts=["control_hdmap"], dtype=torch.float32)
    got = load_file(tmp_path / "m/control_hdmap.safetensors")["time_embed.t_embedder.linear_1.weight"]
    assert torch.equal(got, parts["base"].time_embed.t_embedder.linear_1.weight)


HERE = Path(__file__).resolve().parent
MEMORY = """
import sys, torch
from pathlib import Path
from cosmos_exp.models.checkpoints.convert import convert_checkpoint
from cosmos_exp.models.transfer1.model import WorldModel
from test_convert import small
from cosmos_exp.models.checkpoints.released import released_files
def peak():
    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')) * 1024
root, wide = Path(sys.argv[1]), int(sys.argv[2])
config = small('transfer1_7b_av')
config['single_view']['base'] |= {'model_channels': wide, 'num_heads': 8}
files = released_files('transfer1_7b_av')
convert_checkpoint(root / 'warm', root / 'warm_model', small('transfer1_7b_av'), files, parts=['base'])
before = peak()
convert_checkpoint(root / 'published', root / 'model', config, files, parts=['base'])
print(peak() - before, (root / 'published/base_model.pt').stat().st_size)
"""


def test_conversion_takes_at_most_1_3_times_the_model(av, tmp_path):
    """Resident memory, pages of the mapped source file included, beside the size of that file."""
    root = av[0]
    wide = 1024
    config = small("transfer1_7b_av")
    values = config["single_view"]["base"] | {"model_channels": wide, "num_heads": 8}
    (tmp_path / "published").mkdir()
    (tmp_path / "warm").symlink_to(root / "nvidia/Cosmos-Transfer1-7B-Sample-AV")
    torch.save(published_network(DiT(DiTConfig.from_dict(values))), tmp_path / "published/base_model.pt")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), str(wide)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"},
        check=True,
    )
    used, model = map(int, done.stdout.split()[-2:])
    assert model > 80e6
    print(f"peak {used / model:.2f} of the model")
    assert used <= 1.3 * model


def test_a_file_in_use_can_be_replaced(av, tmp_path):
    """Saving writes a new file: a model that has the old one mapped goes on with what it had."""
    root, config, files, _ = av
    convert_checkpoint(root, tmp_path, config, files)
    model = WorldModel.from_folder(tmp_path, dtype=torch.bfloat16)
    weight = model.single_view().net.base.proj_out.weight
    before = weight.clone()
    model.save(tmp_path)
    assert torch.equal(weight, before)
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert read_metadata(tmp_path / "other.safetensors") == {}

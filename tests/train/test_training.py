"""The training program from scenes to a model folder, at toy size."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.fidelity import violations
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.evaluators.nano import load_network
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.scene.procedural.street import ROADS, SAMPLED_ROADS, procedural_scene
from cosmos_exp.sensors.rigs import build_rig
from cosmos_exp.train import main as train_main
from cosmos_exp.train.clips import Clip, ClipSize, ClipSpec, delete_clip, read_clip, write_clip
from cosmos_exp.train.config import STAGES
from cosmos_exp.train.diffusion import num_views_set_to, start_from_single_view
from cosmos_exp.train.latents import LatentParts, LatentSet
from cosmos_exp.train.loop import LoopParams
from cosmos_exp.train.rendering import (
    HELD_OUT_SEED,
    NUM_PHRASINGS,
    ClipFeed,
    object_shares,
    render_clip,
    styled_caption,
    styles_of,
    training_scene,
    varied,
)
from cosmos_exp.train.start_weights import encoder_hash, take_weights
from cosmos_exp.train.tokenizer import TokenizerLoss, VideoBank, difference_loss, train_tokenizer

SIZE = ClipSize(num_frames=9, fps=24.0, height=32, width=48)
VIEWS = ("front_wide_120fov", "rear_tele_30fov")


@pytest.fixture(scope="module")
def rig():
    cameras = {
        VIEWS[0]: {"hfov": 120, "position": [1.7, 0, 1.4], "rotation": [0, 0, 0]},
        VIEWS[1]: {"hfov": 30, "position": [0.2, 0, 1.5], "rotation": [0, 0, 180]},
    }
    return build_rig("two", cameras, size=(SIZE.width, SIZE.height))


@pytest.fixture(scope="module")
def clip(rig) -> Clip:
    return render_clip(ClipSpec(3, VIEWS, 2, ("hdmap", "seg"), SIZE), rig)


def test_a_clip_holds_styles_of_every_view_and_controls_of_the_first(clip):
    first, second = styles_of(ClipSpec(3, VIEWS, 2, (), SIZE))
    expected = [(VIEWS[0], first), (VIEWS[0], second), (VIEWS[0], "hdmap"), (VIEWS[0], "seg")]
    expected += [(VIEWS[1], first), (VIEWS[1], second), (VIEWS[1], "hdmap")]
    assert [(k.view, k.name) for k in clip.keys] == expected
    assert clip.videos.shape == (7, 9, 32, 48, 3) and clip.videos.dtype == np.uint8
    assert list(clip.prompts) == [first, second] and first in STYLES
    assert clip.video(VIEWS[0], first).std() > 5


def test_a_clip_is_a_function_of_its_seed(clip, rig):
    again = render_clip(ClipSpec(3, VIEWS, 2, ("hdmap", "seg"), SIZE), rig)
    assert np.array_equal(again.videos, clip.videos) and again.prompts == clip.prompts


def test_cameras_of_the_wide_world_are_mounted_anew_in_each_clip(rig):
    again, other = (varied(rig, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.array_equal(
        again.cameras[0].camera_to_rig, varied(rig, np.random.default_rng(1)).cameras[0].camera_to_rig
    )
    for view in VIEWS:
        own, first, second = (r.camera(view) for r in (rig, again, other))
        assert 0.01 < np.abs(first.camera_to_rig[:3, 3] - own.camera_to_rig[:3, 3]).max() < 1.5
        turned = np.arccos(np.clip(first.camera_to_rig[:3, 2] @ own.camera_to_rig[:3, 2], -1, 1))
        assert 0 < np.degrees(turned) < 12 and 0.7 < first.model.fx / own.model.fx < 1.4
        assert not np.array_equal(first.camera_to_rig, second.camera_to_rig)
    together = [r.camera_to_rig[2, 3] for r in again.cameras], [r.camera_to_rig[2, 3] for r in rig.cameras]
    assert np.ptp(np.subtract(*together)) < 1e-9  # on one car


def test_the_wide_world_has_all_roads_and_says_so_in_its_captions(rig):
    scenes = [training_scene(seed, 0.5, "wide") for seed in range(32)]
    assert {scene.facts["road"] for scene in scenes} == set(ROADS)
    assert sum(scene.facts["road"] in SAMPLED_ROADS for scene in scenes) < 20
    assert training_scene(3, 0.5).clip_id == procedural_scene(seed=3, duration=0.5).clip_id  # as the clips that were
    seed = next(n for n, scene in enumerate(scenes) if scene.facts["road"] == "motorway")
    wide = render_clip(ClipSpec(seed, VIEWS[:1], 1, ("hdmap",), SIZE, "wide"), rig)
    assert all("motorway" in prompt for prompt in wide.prompts.values())


def test_a_clip_survives_the_disk(clip, tmp_path):
    write_clip(clip, tmp_path)
    (path,) = tmp_path.glob("*.json")
    again = read_clip(path)
    assert again.keys == clip.keys and again.prompts == clip.prompts
    assert np.array_equal(again.video(VIEWS[1], "hdmap"), clip.video(VIEWS[1], "hdmap"))
    assert np.array_equal(again.objects, clip.objects)
    delete_clip(path)
    assert not list(tmp_path.iterdir())


def test_object_shares_are_those_of_the_frame_that_shows_most():
    semantic = np.full((17, 16, 24), Tag.ROAD, np.uint8)
    semantic[0, :8, :8] = Tag.CAR
    semantic[3, :4, 8:16] = Tag.PEDESTRIAN
    semantic[5, :2, 8:16] = Tag.CAR
    semantic[16, 8:, 16:20] = Tag.TRAFFIC_LIGHT
    shares = object_shares(semantic)
    expected = np.zeros((3, 2, 3), np.float16)
    expected[0, 0, 0], expected[1, 0, 1], expected[2, 1, 2] = 1, 0.5, 0.5
    assert shares.dtype == np.float16 and np.array_equal(shares, expected)


def test_the_bank_reads_finished_clips_only_and_prefers_styles(clip, tmp_path):
    write_clip(clip, tmp_path)
    np.save(tmp_path / "00000004.npy", clip.videos)  # a clip whose index is not written yet
    bank = VideoBank(tmp_path, 100, "cpu")
    assert bank.refresh() == len(bank) == 7 and bank.num_clips == 1
    assert len(bank.styles) == 4 and len(bank.controls) == 3
    x = bank.sample(torch.Generator().manual_seed(0), 5, crop=16)
    assert x.shape == (5, 3, 9, 16, 16) and -1 <= x.min() < x.max() <= 1


def test_a_feed_renders_no_more_than_it_has_room_for_and_ends_when_it_is_closed(rig, tmp_path):
    specs = [ClipSpec(seed, VIEWS[:1], 1, ("hdmap",), SIZE) for seed in range(6)]
    asked = []

    def wanted():
        for spec in specs:
            asked.append(spec.seed)
            yield spec

    feed = ClipFeed(wanted(), rig, tmp_path, 1, ahead=2)
    taken = feed.take(wait=True)
    assert taken and taken[0].name == "00000000.json" and len(asked) <= 2 + len(taken) + 1
    feed.close()
    assert len(list(tmp_path.glob("*.json"))) < 6


def test_latents_grow_with_the_clips_and_are_not_made_again(rig, tmp_path, tiny_model):
    def parts() -> LatentParts:
        def feed(there: set[int]) -> ClipFeed:
            specs = [ClipSpec(seed, VIEWS[:1], 1, ("hdmap",), SIZE) for seed in range(number) if seed not in there]
            found.append(len(specs))
            return ClipFeed(specs, rig, tmp_path / "clips", 1)

        views, made_of = VIEWS[:1], {"world": world}
        fronts = lambda part: 2 * part.targets[:, :, 0]  # noqa: E731
        return LatentParts(tmp_path / "latents", feed, encode, views, ("hdmap",), made_of=made_of, fronts=fronts)

    def encode(videos: torch.Tensor) -> torch.Tensor:
        return torch.stack([tiny_model.tokenizer.encode(v[None].permute(0, 4, 1, 2, 3) / 127.5 - 1)[0] for v in videos])

    found: list[int] = []
    world, number = "streets", 3
    with torch.no_grad(), parts() as fresh:
        made = fresh.first(None)
    assert made.seeds == [0, 1, 2] and made.targets.shape[:3] == (3, 1, 1) and not list((tmp_path / "clips").iterdir())
    with parts() as again:
        assert torch.equal(again.first(1).targets, made.targets) and again.new() == []
    assert found == [3, 0]
    (path,) = (tmp_path / "latents").glob("*.safetensors")
    dataclasses.replace(made, fronts=made.targets[:, :, 0].clone()).save(path)
    number = 5
    with torch.no_grad(), parts() as later:
        added = later.first(None)
    assert added.seeds == [0, 1, 2, 3, 4] and torch.equal(added.fronts[3:], 2 * added.targets[3:, :, 0])
    world = "wide"
    with pytest.raises(UserError, match="are of another world: set it back, delete that folder"):
        parts()


def test_difference_loss_sees_a_blur_that_keeps_the_mean():
    stripes = torch.zeros(1, 3, 2, 4, 8)
    stripes[..., ::2] = 1
    assert difference_loss(stripes, stripes) == 0
    assert difference_loss(stripes, torch.full_like(stripes, 0.5)) == 1
    assert difference_loss(stripes, stripes + 0.3) == pytest.approx(0)


def test_the_tokenizer_learns(clip, tmp_path, tiny_model):
    write_clip(clip, tmp_path)
    vae = WorldModel.build(tiny_model.config).tokenizer.vae.train()
    loop = LoopParams(num_steps=25, batch_size=2, lr=3e-3, warmup_steps=3, ema=0.5, log_every=24)
    assert train_tokenizer(vae, VideoBank(tmp_path, 100, "cpu"), loop, tmp_path / "run", TokenizerLoss())
    first, last = (json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    assert last["mse"] < 0.5 * first["mse"]


def test_the_decoder_is_trained_alone_on_request(clip, tmp_path, tiny_model):
    write_clip(clip, tmp_path)
    vae = WorldModel.build(tiny_model.config).tokenizer.vae.train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    loop = LoopParams(num_steps=2, batch_size=1, lr=3e-3, warmup_steps=1)
    bank = VideoBank(tmp_path, 100, "cpu")
    assert train_tokenizer(vae, bank, loop, tmp_path / "run", TokenizerLoss(), encoder=False)
    changed = {name.split(".")[0] for name, value in vae.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_latents_depend_on_the_encoder_alone(tiny_model):
    tokenizer = WorldModel.build(tiny_model.config).tokenizer
    first = encoder_hash(tokenizer)
    with torch.no_grad():
        for name, value in tokenizer.named_parameters():
            if name.startswith(("vae.decoder.", "vae.post_quant_conv.")):
                value.add_(1)
        assert encoder_hash(tokenizer) == first
        tokenizer.mean.add_(1)
    assert encoder_hash(tokenizer) != first


def test_networks_of_the_same_sizes_start_from_another_model(tmp_path, tiny_model, monkeypatch, caplog):
    tiny_model.save(tmp_path / "source", torch.float32)
    wanted = json.loads(json.dumps(tiny_model.config))
    wanted["multi_view"]["base"]["num_blocks"] -= 1
    monkeypatch.setattr(train_main, "nano_config", lambda *_, **__: wanted)
    cfg = compose_train(f"folder={tmp_path}", "device=cpu", f"start_from=[{tmp_path / 'source'}]", "stages=[]")
    with caplog.at_level("INFO"):
        model = train_main.Training(*train_main.checked(cfg)).model
    assert "source: tokenizer, text_encoder, single_view\n" in caplog.text
    assert "random weights: multi_view\n" in caplog.text
    for name, value in tiny_model.single_view().net.state_dict().items():
        assert torch.equal(value, model.single_view().net.state_dict()[name]), name
    wanted["single_view"]["base"]["num_blocks"] -= 1
    wanted["tokenizer"]["vae"]["latent_channels"] = 8
    wanted["text_encoder"]["d_ff"] += 8
    with pytest.raises(UserError, match="none of its networks is wanted in the size"):
        train_main.Training(*train_main.checked(cfg))


def test_a_deeper_network_starts_from_another_model(tmp_path, tiny_model):
    tiny_model.save(tmp_path / "source", torch.float32)
    wanted = json.loads(json.dumps(tiny_model.config))
    wanted["single_view"]["base"]["num_blocks"] += 2
    deeper = WorldModel.build(wanted)
    take_weights(deeper, [str(tmp_path / "source")], torch.device("cpu"))
    there, blocks = tiny_model.single_view().net.state_dict(), deeper.single_view().net.base.transformer_blocks
    for name, value in there.items():
        assert torch.equal(value, deeper.single_view().net.state_dict()[name]), name
    for norm in (norm for block in blocks[-2:] for norm in (block.norm1, block.norm2, block.norm3)):
        assert not norm.linear_2.weight.any()  # gates of zero
    assert tiny_model.single_view().net.base.transformer_blocks[-1].norm1.linear_2.weight.any()


def test_half_of_the_captions_are_worded_as_the_rewriter_words_them():
    scene = training_scene(3, 0.5, "wide")
    caption = describe(scene)
    found = {style: {styled_caption(caption, style, f"{n}") for n in range(40)} for style in STYLES}
    for style, texts in found.items():
        templates = {rewrite(caption, style, variant) for variant in range(NUM_PHRASINGS)}
        assert templates <= texts and all(len(text) <= 256 for text in texts)
        assert bool(texts - templates) == (style != "Original")
        for text in texts - templates:
            assert not violations(caption, text, style), text


def test_a_multi_view_net_starts_from_the_single_view_net(tiny_model):
    single, multi = tiny_model.single_view().net, WorldModel.build(tiny_model.config).multi_view().net
    start_from_single_view(multi, single)
    for part in ("transformer_blocks.1.attn1.to_q.weight", "time_embed.norm.weight", "proj_out.weight"):
        assert torch.equal(multi.base.get_parameter(part), single.base.get_parameter(part))
    hint = "hint_block.0.weight"
    assert torch.equal(multi.controls["hdmap"].get_parameter(hint), single.controls["hdmap"].get_parameter(hint))
    wide, narrow = multi.base.patch_embed.proj.weight, single.base.patch_embed.proj.weight
    assert wide.shape[1] == 24 * 4 and narrow.shape[1] == 17 * 4
    assert torch.equal(wide[:, :64], narrow[:, :64]) and torch.equal(wide[:, 68:72], narrow[:, 64:])
    assert not wide[:, 64:68].any() and not wide[:, 72:].any()


def test_seeing_fewer_views_ends_with_the_block(tiny_model):
    denoiser = tiny_model.multi_view()
    with pytest.raises(KeyError), num_views_set_to(denoiser, 3):
        assert denoiser.net.config.num_views == 3
        raise KeyError
    assert denoiser.net.config.num_views == 6


def test_held_out_seeds_are_not_trained_on():
    config = compose_train()
    for clips in (config.single_view_clips, config.multi_view_clips):
        assert clips.first_seed + clips.num_clips <= HELD_OUT_SEED


def compose_train(*overrides: str):
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


def test_stages_end_in_a_model_that_loads(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr(train_main, "nano_config", lambda *_, **__: tiny_model.config)
    loops = [
        f"{s}.loop.{v}"
        for s in ("tokenizer", "single_view", "multi_view", "evaluator")
        for v in ("num_steps=2", "batch_size=1")
    ]
    loops.append("fronts.num_steps=1")
    size = ["size.num_frames=9", "size.height=32", "size.width=48", "tokenizer.min_clips=1", "tokenizer.crop=16"]
    few = ["single_view_clips.num_clips=2", "multi_view_clips.num_clips=1", "multi_view.views_per_step=2"]
    few += ["evaluator.num_scenes=1", "evaluator.num_times=1"]
    validation = ["evaluate.num_scenes=1", "evaluate.num_multi_view_scenes=1", "evaluate.num_classifier_scenes=2"]
    validation += ["evaluate.num_steps=1", "evaluate.guidances=[0.0,1.0]", "evaluate.hdmap_weights=[1.0]"]
    stages = f"stages=[{','.join(stage for stage in STAGES if stage != 'rewriter')}]"  # needs nothing of the others
    cfg = compose_train(f"folder={tmp_path}", "device=cpu", "num_workers=2", stages, *loops, *size, *few, *validation)
    train_main.run(cfg)

    model = WorldModel.from_folder(tmp_path / "model")
    assert model.encode_video(np.zeros((9, 32, 48, 3), np.uint8)).shape == (16, 2, 4, 6)
    report = json.loads((tmp_path / "validation" / "report.json").read_text())
    assert set(report["styles"]["psnr"]) == set(STYLES) and set(report["captions"]) >= {"right caption", "untrained"}
    assert (tmp_path / "validation" / "styles.png").stat().st_size > 1000
    assert load_network(tmp_path / "evaluator.safetensors")
    assert not list((tmp_path / "clips").iterdir())  # pixels are discarded once encoded
    (part,) = (tmp_path / "multi_view_latents").glob("*.safetensors")
    assert LatentSet.load(part).fronts is not None
    with pytest.raises(UserError, match="has other sizes than networks gives, in single_view"):
        monkeypatch.setattr(train_main, "nano_config", lambda *_, **__: other_sizes(tiny_model.config))
        train_main.run(compose_train(f"folder={tmp_path}", "device=cpu", "stages=[evaluate]", *size))


def test_the_tokenizer_waits_for_its_first_clips(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr(train_main, "nano_config", lambda *_, **__: tiny_model.config)
    small = ["size.num_frames=9", "size.height=32", "size.width=48", "tokenizer.crop=16", "tokenizer.min_clips=2"]
    loop = ["tokenizer.loop.num_steps=1", "tokenizer.loop.batch_size=1", "tokenizer.max_videos=9", "num_workers=1"]
    alone = [f"folder={tmp_path}", "device=cpu", "stages=[tokenizer]", *small, *loop]
    with pytest.raises(UserError, match="no clips to train the tokenizer on"):
        train_main.run(compose_train(*alone, "single_view_clips.num_clips=0", "multi_view_clips.num_clips=0"))
    with pytest.raises(UserError, match=r"no clips to train on in .*single_view_latents"):
        train_main.run(compose_train(*alone, "stages=[single_view]", "single_view_clips.num_clips=0"))
    train_main.run(compose_train(*alone))
    assert (tmp_path / "model" / "tokenizer.safetensors").exists()
    assert len(list((tmp_path / "clips").iterdir())) == 6
    before = (tmp_path / "model" / "tokenizer.safetensors").read_bytes()
    train_main.run(compose_train(*alone))
    assert (tmp_path / "model" / "tokenizer.safetensors").read_bytes() == before


def other_sizes(config: dict) -> dict:
    changed = json.loads(json.dumps(config))
    changed["name"] = "other"
    changed["single_view"]["base"]["num_blocks"] = 3
    return changed


def test_unknown_stage_and_measure_name_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'tokenizer'"):
        train_main.run(compose_train(f"folder={tmp_path}", "stages=[tokeniser]"))

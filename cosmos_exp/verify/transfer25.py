"""Golden comparisons of Cosmos-Transfer2.5: networks, trajectories, solver, text, chunks, tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.checkpoints.checkpoint import load_strict, read_state
from cosmos_exp.models.dit.positions import rope_table
from cosmos_exp.models.dit.residuals import Weight
from cosmos_exp.models.transfer25.checkpoint import language_model_state, load_network
from cosmos_exp.models.transfer25.chunks import continued, frame_indicator
from cosmos_exp.models.transfer25.config import NetConfig
from cosmos_exp.models.transfer25.control_weights import branch_weights
from cosmos_exp.models.transfer25.denoise import GivenFrames, guided_velocity
from cosmos_exp.models.transfer25.network import TIMESTEP_SCALE, ClipInputs, ControlledNet
from cosmos_exp.models.transfer25.sizes import given_latent_frames
from cosmos_exp.models.transfer25.text import TextEncoder, normalized
from cosmos_exp.models.transfer25.tokenizer import to_signed
from cosmos_exp.sampling.chunks import join, split
from cosmos_exp.sampling.flow import FlowParams, flow_levels, timestep_of
from cosmos_exp.sampling.frame_rule import FrameRule
from cosmos_exp.sampling.res_sampler import initial_noise
from cosmos_exp.sampling.unipc import Velocity, unipc_sample
from cosmos_exp.verify.goldens import GoldenCase, GoldenResult, relative_error

NETWORK_TOLERANCE = 5e-6
TRAJECTORY_TOLERANCE = 1.5e-5
SOLVER_TOLERANCE = 1e-5
TEXT_TOLERANCE = 2e-5
TABLE_TOLERANCE = 1e-6
EXACT = 0.0
LEVEL_TOLERANCE = 1.2e-7
"""Of noise levels, relative: a unit in the last place of a float32 and its rounding."""

NOT_OURS = re.compile(r"^out\.kerras_")
"""A schedule that no released pipeline uses."""


def recorded_outputs(case: GoldenCase) -> set[str]:
    """Names of the tensors that a case must compare."""
    return {key for key in case.tensors if key.startswith(("out.", "mid.")) and not NOT_OURS.search(key)}


def network_config(case: GoldenCase) -> NetConfig:
    """Our settings from the reference's names, in which `max_img_*` and `max_frames` count latent pixels and frames."""
    settings = case.setting("net")
    views = settings.get("view_condition_dim", 0) if settings.get("concat_view_embedding") else 0
    patch, channels = settings["patch_spatial"], settings["out_channels"]
    branches = settings.get("num_control_branches", 1)
    return NetConfig(
        model_channels=settings["model_channels"],
        num_blocks=settings["num_blocks"],
        num_heads=settings["num_heads"],
        mlp_ratio=settings["mlp_ratio"],
        adaln_lora_dim=settings["adaln_lora_dim"],
        latent_channels=channels,
        patch_size=(settings["patch_temporal"], patch, patch),
        max_size=(settings["max_frames"], settings["max_img_h"], settings["max_img_w"]),
        rope_scale=tuple(settings[f"rope_{axis}_extrapolation_ratio"] for axis in "thw"),
        text_width=settings["crossattn_proj_in_channels"],
        text_channels=settings["crossattn_emb_channels"],
        controls=("wsm",) if views else tuple(f"control{i}" for i in range(branches)),
        control_every=settings["vace_block_every_n"],
        hint_channels=(channels + views) * settings["num_max_modalities"],
        hint_layers=7 if settings.get("use_input_hint_block") else 0,
        view_table_size=settings.get("n_cameras_emb", 7),
        view_channels=views,
        image_width=settings.get("extra_image_context_dim") or 0,
    )


def load_net(case: GoldenCase) -> ControlledNet:
    """The case's network, float32 on the CPU."""
    if "net" not in case.weights:
        raise UserError(f"golden case {case.name}: its JSON names no weights of a net")
    net = ControlledNet(network_config(case))
    load_network(net, case.folder / case.weights["net"])
    return net.eval()


def network_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """One network evaluation: the output, also by the path that sampling takes, and every recorded intermediate."""
    net = load_net(case)
    x, timestep, text = case.tensor("in.x"), case.tensor("in.timestep").flatten(), case.tensor("in.text").float()
    hints, weights = hints_and_weights(case, net)
    image = case.tensors.get("in.image_context")
    values = recorded(net)
    clip = golden_clip(case, net, x, hints)
    run = {name: torch.as_tensor(weight) for name, weight in weights.items()}  # also where the weight is 0
    output = net(x, timestep, text, clip, run, image=image)
    yield case.result("out.velocity", output, NETWORK_TOLERANCE)
    for key in sorted(key for key in case.tensors if key.startswith("mid.")):
        name = key.removeprefix("mid.").removesuffix("_BTHWD")
        if name not in values:
            raise UserError(f"golden case {case.name}: nothing here corresponds to {key!r}")
        yield case.result(key, values[name].reshape(case.tensor(key).shape), NETWORK_TOLERANCE)
    prompt = net.prepare_text(text, clip, image=image)
    sampled = net.branches(x, timestep, [prompt], clip, weights)[0]
    error = relative_error(sampled, case.tensor("out.velocity"))
    yield GoldenResult(case.name, "out.velocity (sampling path)", error, NETWORK_TOLERANCE)


def golden_clip(case: GoldenCase, net: ControlledNet, x: Tensor, hints: Mapping[str, Tensor]) -> ClipInputs:
    return net.prepare(
        x,
        hints,
        views=case.config.get("views", 1),
        condition_mask=case.tensors.get("in.condition_mask"),
        padding_mask=case.tensors.get("in.padding_mask"),
        view_ids=case.tensors.get("in.view_ids"),
    )


def hints_and_weights(case: GoldenCase, net: ControlledNet) -> tuple[dict[str, Tensor], dict[str, Weight]]:
    """`in.hint_latent` [B,16K,T,H,W] of K branches; `control_weight`, a number, K of them or `map`. A branch whose hint
    is all zero is absent."""
    names = net.config.controls
    hints = dict(zip(names, case.tensor("in.hint_latent").chunk(len(names), dim=1), strict=True))
    given = case.setting("control_weight")
    if given == "map":
        maps = case.tensor("in.control_weight_map_NBTHW1")
        weights: dict[str, Weight] = {name: one[..., 0][:, None] for name, one in zip(names, maps, strict=True)}
    else:
        values = given if isinstance(given, list) else [given]
        weights = dict(zip(names, values, strict=True))
    return {name: hint for name, hint in hints.items() if hint.any()}, weights


def recorded(net: ControlledNet) -> dict[str, Tensor]:
    """Filled, from the next `prepare` and forward on, with what the reference recorded."""
    values: dict[str, Tensor] = {}

    def keep(module: torch.nn.Module, name: str) -> None:
        module.register_forward_hook(lambda _, __, output: values.__setitem__(name, output))

    keep(net.patch_embed, "x_tokens")
    keep(net.time_embed.norm, "t_embedding")
    for name in net.controls:
        keep(net.control(name).patch_embed, "hint_tokens")
        for layer, index in zip(net.control(name).after_proj, net.config.injected):
            keep(layer, f"residual.block{index}")
    net.blocks[1].register_forward_pre_hook(lambda _, given: values.__setitem__("x_after_block0", given[0]))
    return values


def trajectory_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Guided sampling from the initial noise to the final latent, by the path that generation takes."""
    net = load_net(case)
    latent, views = case.tensor("in.condition_latent"), case.config.get("views", 1)
    noise = initial_noise(latent.shape, case.setting("seed"))
    if case.has("out.init_noise"):
        yield case.result("out.init_noise", noise, EXACT)
    counts = case.setting("num_conditional_latent_frames")
    counts = counts if isinstance(counts, list) else [counts] * views
    given = frame_indicator(counts, latent.shape[2] // views)
    condition = GivenFrames(latent, given, noise)
    hints, weights = hints_and_weights(case, net)
    clip = net.prepare(noise, hints, views=views, condition_mask=given, view_ids=case.tensors.get("in.view_ids"))
    texts = {name: case.tensor(f"in.{name}").float() for name in ("text", "negative_text")}
    sampler = FlowParams(case.setting("steps"), case.setting("guidance"), shift=case.setting("shift"))

    def velocity_of(own: FlowParams, text: Tensor, negative: Tensor) -> Velocity:
        return guided_velocity(
            net, clip, text=text, negative_text=negative, sampler=own, weights=weights, condition=condition
        )

    calls: list[tuple[Tensor, float, Tensor]] = []
    guided = velocity_of(sampler, texts["text"], texts["negative_text"])

    def velocity(x: Tensor, sigma: float) -> Tensor:
        calls.append((x, sigma, guided(x, sigma)))
        return calls[-1][2]

    final = unipc_sample(velocity, noise, sampler.num_steps, shift=sampler.shift)
    unguided = FlowParams(sampler.num_steps, 0.0, shift=sampler.shift)
    for name, text in (("cond", texts["text"]), ("uncond", texts["negative_text"])):
        alone = velocity_of(unguided, text, text)
        yield case.result(f"out.call0_v_{name}", alone(noise, sampler.levels[0]), TRAJECTORY_TOLERANCE)
    yield case.result("out.call_x", torch.stack([x for x, _, _ in calls]), TRAJECTORY_TOLERANCE)
    yield case.result("out.call_timestep", torch.tensor([timestep_of(sigma) for _, sigma, _ in calls]), EXACT)
    yield case.result("out.call_v_guided", torch.stack([v for _, _, v in calls]), TRAJECTORY_TOLERANCE)
    if case.has("out.call_x0"):
        yield case.result("out.call_x0", torch.stack([x - s * v for x, s, v in calls]), TRAJECTORY_TOLERANCE)
    yield case.result("out.final", final, TRAJECTORY_TOLERANCE)


def scheduler_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Noise levels, timesteps, and the solver on the recorded velocity, call by call."""
    matrix, shift = case.tensor("in.velocity_matrix"), case.setting("set_timesteps_shift")
    for steps in case.setting("steps"):
        levels = flow_levels(steps, shift)
        sigmas = torch.tensor([*levels, 0.0], dtype=torch.float64).float()
        golden = case.tensor(f"out.sigmas_{steps}")
        yield GoldenResult(case.name, f"out.sigmas_{steps}", _largest_error(sigmas, golden), LEVEL_TOLERANCE)
        yield case.result(f"out.timesteps_{steps}", torch.tensor([timestep_of(s) for s in levels]), EXACT)
        path, clean = toy_path(case.tensor(f"in.x_{steps}"), matrix, steps, shift)
        for name, values in (("x_path", path), ("x0", clean)):
            kept = case.config.get(f"{name}_{steps}_indices", range(len(values)))
            yield case.result(f"out.{name}_{steps}", torch.stack([values[i] for i in kept]), SOLVER_TOLERANCE)


def toy_path(x: Tensor, matrix: Tensor, steps: int, shift: float) -> tuple[list[Tensor], list[Tensor]]:
    """All states of the solver from x on, and the predictions x0 of its calls, for the recorded velocity."""
    path: list[Tensor] = []
    clean: list[Tensor] = []

    def velocity(x: Tensor, sigma: float) -> Tensor:
        found = torch.einsum("oc,bcthw->bothw", matrix, x) + (x * (1 + timestep_of(sigma) / 1000)).sin()
        path.append(x)
        clean.append(x - sigma * found)
        return found

    path.append(unipc_sample(velocity, x, steps, shift=shift))
    return path, clean


def _largest_error(value: Tensor, golden: Tensor) -> float:
    """Largest relative error of an element; infinite when the shapes differ."""
    if value.shape != golden.shape:
        return float("inf")
    return ((value - golden).abs() / golden.abs().clamp(min=1e-30)).max().item()


def text_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """The embedding of recorded ids, padded and cut, and the normalisation alone."""
    values = dict(case.setting("language_model"))
    rope = {
        "rope_theta": values.pop("rope_theta"),
        "mrope_section": values.pop("mrope_section"),
        "rope_type": "default",
    }
    if not values.pop("causal"):
        raise UserError(f"golden case {case.name}: only a causal language model is known")
    encoder = TextEncoder({**values, "rope_parameters": rope}, case.setting("length"))
    path = case.folder / case.weights["language_model"]
    load_strict(encoder.lm, language_model_state(read_state(path)), path)
    encoder.text_tokenizer.pad_token_id = case.setting("pad_id")
    ids = encoder.padded([case.tensor(f"in.input_ids_{name}").tolist() for name in ("short", "long")])
    yield case.result("out.embedding", encoder.eval()(ids), TEXT_TOLERANCE)
    yield case.result("out.mean_normalized", normalized(case.tensor("in.vector")), TEXT_TOLERANCE)


def chunk_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """The inputs of each chunk and the joined clip, with the recorded generator in place of the network."""
    if case.setting("fake_generator") != FAKE_GENERATOR:
        raise UserError(
            f"golden case {case.name}: generator {case.setting('fake_generator')!r}, known: {FAKE_GENERATOR}"
        )
    for name, settings in case.setting("cases").items():
        views, size, overlap = settings["views"], settings["chunk_size"], settings["overlap"]
        video, control = (_by_view(case.tensor(f"in.{name}.{kind}"), views) for kind in ("video", "control"))
        frames = video.shape[1]
        chunks = split(frames, FrameRule(least=size, most=size, base=size), overlap)
        pixels = settings["num_conditional_frames_pixels"]
        kept = max(pixels) if isinstance(pixels, list) else pixels
        inputs, controls, made, seeds, latent_counts = [], [], [], [], []
        working = video.clone()
        for chunk in chunks:
            part = slice(chunk.start, chunk.start + size)
            seeds.append(settings["seed"] + chunk.index)
            first = overlap if chunk.index else pixels
            counts = [given_latent_frames(n) for n in first] if isinstance(first, list) else given_latent_frames(first)
            latent_counts.append(counts)
            inputs.append(working[:, part].clone())
            controls.append(control[:, part])
            result = (0.5 * inputs[-1].float() + 0.4 * controls[-1].float() + seeds[-1] % 7) / 255 * 0.93
            made.append(result)
            generated = (result * 255).to(torch.uint8)
            for view in range(views):
                after = continued(inputs[-1][view].numpy(), generated[view].numpy(), overlap if chunk.index else kept)
                working[view, part] = torch.from_numpy(after)
        if seeds != settings["chunk_seeds"] or latent_counts != settings["chunk_conditional_latent_frames"]:
            raise UserError(
                f"golden case {case.name}: {name} has seeds {seeds} and given latent frames {latent_counts}"
            )
        clips = [join([part[view].numpy() for part in made], overlap, frames) for view in range(views)]
        joined = torch.from_numpy(np.stack(clips))
        yield case.result(f"out.{name}.chunk_video", torch.stack([_stacked(x) for x in inputs]), EXACT)
        yield case.result(f"out.{name}.chunk_control", torch.stack([_stacked(x) for x in controls]), EXACT)
        yield case.result(f"out.{name}.result_CTHW", _stacked(joined)[0], TABLE_TOLERANCE)


FAKE_GENERATOR = "result = (0.5*video + 0.4*control + seed%7)/255*0.93, per chunk, float32 from uint8"


def _by_view(video: Tensor, views: int) -> Tensor:
    """[1,3,V*F,h,w] -> [V,F,3,h,w]."""
    return video[0].unflatten(1, (views, -1)).permute(1, 2, 0, 3, 4)


def _stacked(video: Tensor) -> Tensor:
    """[V,F,3,h,w] -> [1,3,V*F,h,w]."""
    return video.flatten(0, 1).movedim(1, 0)[None]


def helper_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Tables, noise, pixels, indicators of given frames, weight maps."""
    rope, ratios = case.setting("rope"), case.setting("rope_t_ratio")
    for key in sorted(recorded_outputs(case)):
        golden = case.tensor(key)
        if match := re.fullmatch(r"out\.rope_angles_(mv|single)(?:_(\d+)views)?_T(\d+)_H(\d+)_W(\d+)", key):
            scale = (
                ratios["multiview" if match[1] == "mv" else "single"],
                *(rope[f"{a}_extrapolation_ratio"] for a in "hw"),
            )
            grid = (int(match[3]), int(match[4]), int(match[5]))
            table = rope_table(rope["head_dim"], grid, scale=scale, fps=None, num_views=int(match[2] or 1))
            both = torch.stack([golden.cos(), golden.sin()])
            yield case.result(key, torch.stack(table), TABLE_TOLERANCE, golden=both)
        elif match := re.fullmatch(r"out\.sinusoid_(\d+)", key):
            yield case.result(key, sinusoid(int(match[1]), case.tensor("in.timesteps")), TABLE_TOLERANCE)
        elif key.startswith("out.noise_"):
            yield case.result(key, initial_noise(golden.shape, case.setting("noise_seed")), EXACT)
        elif key == "out.pixel_bf16_as_f32":
            yield case.result(key, to_signed(case.tensor("in.u8").reshape(-1, 1, 1, 1)).flatten(), EXACT)
        elif match := re.fullmatch(r"out\.mask_(?:scalar(\d+)|list)", key):
            counts = [int(match[1])] * case.setting("mask_views") if match[1] else case.setting("mask_list")
            yield case.result(key, frame_indicator(counts, case.setting("mask_state_t")), EXACT)
        elif key == "out.weight_maps_resized_NBTHW1":
            maps = {str(i): one[0, 0] for i, one in enumerate(case.tensor("in.weight_maps_N1_1THW"))}
            weights = branch_weights(maps, (golden.shape[2], golden.shape[3], golden.shape[4]))
            yield case.result(key, torch.stack([w[0][..., None] for w in weights.values()]), TABLE_TOLERANCE)
        else:
            raise UserError(f"golden case {case.name}: nothing here corresponds to {key!r}")


def sinusoid(width: int, timesteps: Tensor) -> Tensor:
    """[n, width] of integer timesteps, as the networks embed them."""
    from diffusers.models.embeddings import Timesteps

    embed = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0.0)
    return embed(timesteps.flatten() * TIMESTEP_SCALE)


RUNNERS: dict[str, Callable[[GoldenCase], Iterator[GoldenResult]]] = {
    "multiview network call": network_results,
    "single-view network call": network_results,
    "multiview trajectory": trajectory_results,
    "single-view trajectory": trajectory_results,
    "scheduler": scheduler_results,
    "text embedding": text_results,
    "chunk bookkeeping": chunk_results,
}
"""By the kind of a case."""

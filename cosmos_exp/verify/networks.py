"""Comparison of the generator with folders of golden tensors, case by case."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.threads import torch_threads
from cosmos_exp.models.dit.view_layout import given_frames
from cosmos_exp.models.transfer1.control import ClipInputs, ControlledDiT
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition, edm_coefficients
from cosmos_exp.models.transfer1.single_view import noised_latent
from cosmos_exp.sampling.res_sampler import initial_noise, res_sample
from cosmos_exp.sampling.sampler_params import SamplerParams, noise_levels
from cosmos_exp.verify import transfer25
from cosmos_exp.verify.goldens import (
    NETWORK_TOLERANCE,
    SAMPLER_TOLERANCE,
    TRAJECTORY_TOLERANCE,
    GoldenCase,
    GoldenResult,
    hints_and_weights,
    load_net,
    read_cases,
    relative_error,
)
from cosmos_exp.verify.network_steps import helper_results, preprocess_results

TOY_DENOISER = "tanh(x/(1+s)) + 0.1*sin(3x/(0.3+s))"


def verify_goldens(folder: Path) -> list[GoldenResult]:
    """Run every case of a folder. An unreadable, incomplete or empty folder is a UserError."""
    results: list[GoldenResult] = []
    with torch.inference_mode(), torch_threads(1):  # golden tensors are tiny: more threads are slower
        for case in read_cases(Path(folder)):
            compared = list(runner(case)(case))
            check_complete(case, compared)
            results.extend(compared)
    return results


def check_complete(case: GoldenCase, results: list[GoldenResult]) -> None:
    """Raise UserError where a recorded tensor was not compared."""
    left = transfer25.recorded_outputs(case) - {r.compared for r in results}
    if left or not results:
        what = f"{sorted(left)}, which nothing here compares" if left else "nothing to compare"
        raise UserError(f"golden case {case.name} holds {what}")


def print_results(results: Iterable[GoldenResult], write: Callable[[str], None] = print) -> bool:
    """One line per comparison and a summary; returns whether all passed."""
    results = list(results)
    width = max(len(f"{r.case} {r.compared}") for r in results)
    for r in results:
        name = f"{r.case} {r.compared}"
        write(f"{name:<{width}}  error {r.error:8.2e}  tolerance {r.tolerance:7.1e}  {'PASS' if r.passed else 'FAIL'}")
    failed = [r for r in results if not r.passed]
    cases, bad = {r.case for r in results}, {r.case for r in failed}
    write(f"{len(cases) - len(bad)} of {len(cases)} cases pass ({len(results)} comparisons, {len(failed)} failed)")
    return not failed


def runner(case: GoldenCase) -> Callable[[GoldenCase], Iterator[GoldenResult]]:
    """The function that compares a case of this kind."""
    runners = {
        "sampler": sampler_results,
        "trajectory": trajectory_results,
        "helpers": helper_results,
        "preprocess": preprocess_results,
        **transfer25.RUNNERS,
    }
    if case.kind == "helpers" and transfer25.recorded_outputs(case):
        return transfer25.helper_results
    if case.kind in runners:
        return runners[case.kind]
    if "base" in case.kind:
        return network_results
    raise UserError(f"golden case {case.name}: {unknown_name('kind', case.kind, ['base', *runners])}")


def network_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """One network evaluation: the output, also by the path that sampling takes, and every recorded intermediate."""
    net = load_net(case)
    x, text, timestep = case.tensor("in.x"), case.tensor("in.crossattn_emb"), case.tensor("in.timesteps")
    hints, weights = hints_and_weights(case, net.controls)
    clip = golden_clip(case, net, x, hints)
    values = recorded(net)
    output = net(x, timestep, text, clip, weights)
    yield case.result("out.x", output, NETWORK_TOLERANCE)
    for key in sorted(k for k in case.tensors if k.startswith("mid.")):
        yield compare_intermediate(case, key, net, clip, values)
    sampled = net.branches(x, timestep, [net.prepare_text(text, clip)], clip, weights)[0]
    golden = case.tensor("out.x")
    yield GoldenResult(case.name, "out.x (sampling path)", relative_error(sampled, golden), NETWORK_TOLERANCE)


def golden_clip(case: GoldenCase, net: ControlledDiT, x: Tensor, hints: Mapping[str, Tensor]) -> ClipInputs:
    """The constant inputs of a network case for its latent x, in the dtype of x."""
    view_ids = case.tensors.get("in.view_indices_B_T")
    return net.prepare(
        x,
        hints,
        condition_mask=case.tensors.get("in.condition_video_input_mask"),
        padding_mask=case.tensors.get("in.padding_mask"),
        fps=case.fps,
        view_ids=None if view_ids is None else view_ids.long(),
        frame_repeat=case.tensors.get("in.frame_repeat"),
        share_view_embed=True,
    )


def recorded(net: ControlledDiT) -> dict[str, Tensor]:
    """Filled, during the next forward, with what the reference recorded, in our own layouts."""
    values: dict[str, Tensor] = {}

    def keep(module: nn.Module, name: str) -> None:
        module.register_forward_hook(lambda _, __, output: values.__setitem__(name, output))

    def keep_residuals(_, arguments) -> None:
        residuals = arguments[5]
        values.update({f"x_ctrl.block{i}": residual for i, residual in enumerate(residuals)})

    keep(net.base.patch_embed, "patch_embed")
    keep(net.base.time_embed.time_proj, "timestep_sincos")
    keep(net.base.time_embed.norm, "affine_emb")
    for i, block in enumerate(net.base.transformer_blocks):
        keep(block, f"block{i}")
    net.base.register_forward_pre_hook(keep_residuals)
    return values


def compare_intermediate(
    case: GoldenCase, key: str, net: ControlledDiT, clip: ClipInputs, values: dict[str, Tensor]
) -> GoldenResult:
    """`mid.<name>_<LAYOUT>` against our value brought to that layout."""
    name, layout = key.removeprefix("mid.").rsplit("_", 1)
    golden = case.tensor(key)
    grid = net.base.grid(case.tensor("in.x"))
    if name == "rope_angles":
        ours = torch.stack(clip.positions["base"].rope)
        angles = golden.flatten(1)
        return case.result(key, ours, NETWORK_TOLERANCE, golden=torch.stack([angles.cos(), angles.sin()]))
    if name == "extra_pos" and (extra := clip.positions["base"].extra) is not None:
        value = extra.expand(len(golden), -1, -1)
    elif name in values:
        value = values[name]
    else:
        raise UserError(f"golden case {case.name}: nothing here corresponds to {key!r}")
    if layout in ("BTHWD", "THWBD") and value.ndim == 3:
        value = value.unflatten(1, grid)
    if layout == "THWBD":
        value = value.permute(1, 2, 3, 0, 4)
    return case.result(key, value, NETWORK_TOLERANCE)


def sampler_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Noise levels, EDM coefficients, and the solver on an analytic denoiser, call by call, in float64."""
    if case.setting("toy_denoiser") != TOY_DENOISER:
        raise UserError(
            f"golden case {case.name}: toy denoiser {case.setting('toy_denoiser')!r}, known: {TOY_DENOISER}"
        )
    sigma_min = case.setting("sigma_min")
    for key in case.tensors:
        if match := re.fullmatch(r"sigmas_max([\d.]+)_steps(\d+)", key):
            levels = noise_levels(int(match[2]), float(match[1]), sigma_min)
            yield case.result(key, torch.tensor(levels, dtype=torch.float64), SAMPLER_TOLERANCE)
    coefficients = edm_coefficients(case.tensor("edm.sigma"))
    for name, value in coefficients._asdict().items():
        yield case.result(f"edm.{name}", value, SAMPLER_TOLERANCE)
    for key in case.tensors:
        if match := re.fullmatch(r"toy(\d+)\.x_init", key):
            yield from toy_results(case, f"toy{match[1]}", int(match[1]), sigma_min)


def toy_results(case: GoldenCase, name: str, steps: int, sigma_min: float) -> Iterator[GoldenResult]:
    def denoise(x: Tensor, sigma: float) -> Tensor:
        return (x / (1 + sigma)).tanh() + 0.1 * (3 * x / (0.3 + sigma)).sin()

    calls = RecordedCalls(denoise)
    sigma_max = case.tensor(f"{name}.call_sigma").flatten()[0].item()
    final = res_sample(calls, case.tensor(f"{name}.x_init"), noise_levels(steps, sigma_max, sigma_min))
    for field, value in {**calls.stacked(), "final": final}.items():
        yield case.result(f"{name}.{field}", value, SAMPLER_TOLERANCE)


class RecordedCalls:
    """A denoiser that records its inputs and outputs."""

    def __init__(self, denoise: Callable[[Tensor, float], Tensor]):
        self.denoise = denoise
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        x0 = self.denoise(x, sigma)
        self.calls.append((x, torch.tensor([sigma], dtype=x.dtype), x0))
        return x0

    def stacked(self) -> dict[str, Tensor]:
        x, sigma, x0 = (torch.stack(values) for values in zip(*self.calls))
        return {"call_x": x, "call_sigma": sigma, "call_x0": x0}


def trajectory_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Guided sampling from the initial noise to the final latent, by the path that generation takes."""
    net = load_net(case)
    hints, weights = hints_and_weights(case, net.controls)
    shape = case.tensor("out.init").shape
    noise = initial_noise(shape, case.setting("seed"))
    sigma_max = case.setting("sigma_max")
    if case.config.get("clean_noise_seed") is None:
        x = noise * sigma_max
    else:
        x = noised_latent(case.tensor("in.clean_latent"), sigma_max, case.config["clean_noise_seed"])
    yield case.result("out.init", x, TRAJECTORY_TOLERANCE)

    condition = frame_condition(case, net, noise)
    repeat = case.tensors.get("in.frame_repeat_raw")
    denoiser = Denoiser(net)
    clip = denoiser.prepare(
        x,
        hints,
        condition=condition,
        padding_mask=case.tensors.get("in.padding_mask"),
        fps=case.fps,
        frame_repeat=None if repeat is None else repeat / 10,
        share_view_embed=True,
    )
    text, negative = case.tensor("in.text"), case.tensors.get("in.neg_text")
    sampler = SamplerParams(case.setting("num_steps"), case.setting("guidance"), sigma_max)
    unguided = replace(sampler, guidance=0.0)
    merged = net.config.condition_mask and net.config.num_views == 1  # the Transfer1-7B pipeline
    denoise = guided(
        denoiser,
        clip,
        text=text,
        negative_text=negative,
        sampler=sampler,
        weights=weights,
        condition=condition,
        merge_gain=merged,
    )
    calls = RecordedCalls(denoise)
    final = res_sample(calls, x, sampler.levels)
    for key in case.tensors:
        if match := re.fullmatch(r"out\.call(\d+)_x0_(cond|uncond)", key):
            prompt = text if match[2] == "cond" else negative
            single = guided(
                denoiser,
                clip,
                text=prompt,
                negative_text=None,
                sampler=unguided,
                weights=weights,
                condition=condition,
            )
            seen, sigma, _ = calls.calls[int(match[1])]
            yield case.result(key, single(seen, sigma.item()), TRAJECTORY_TOLERANCE)
    names = {"call_x": "call_x", "call_sigma": "call_sigma", "call_x0": "call_x0_guided"}
    for name, value in calls.stacked().items():
        yield case.result(f"out.{names[name]}", value, TRAJECTORY_TOLERANCE)
    yield case.result("out.final", final, TRAJECTORY_TOLERANCE)


def frame_condition(case: GoldenCase, net: ControlledDiT, noise: Tensor) -> FrameCondition | None:
    """The frames a case gives: whole views for a multi-view net, else its first latent frames."""
    if not net.config.condition_mask:
        return None
    latent = case.tensor("in.condition_latent")
    views = net.config.num_views
    frames = latent.shape[2] // views
    first = case.config.get("num_condition_t") or 0
    if views > 1:
        given = given_frames(views, frames, location=case.setting("condition_location"), first_frames=first)
    else:
        given = (torch.arange(frames) < first).float().reshape(1, 1, -1, 1, 1)
    return FrameCondition(latent, given, noise, case.setting("augment_sigma"))

"""Guided evaluations at the released sizes, beside diffusers' blocks on torch's fastest attention; random weights.

python -m benchmarks.full_size                     # on a GPU with 80 GB or more: single view and six views
python -m benchmarks.full_size --size nano         # the same program on a CPU
torchrun --nproc-per-node 4 -m benchmarks.full_size   # one GPU, and four of them together

The reference evaluates both branches of guidance on their own, as the original does: diffusers' blocks in eager mode,
everything that a clip or a step shares computed again, all rows of the text attended.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.attention import sdpa_kernel

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.view_layout import given_frames
from cosmos_exp.models.kernels.attention import KERNELS
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.config import SAMPLE_AV_7B, SINGLE2MULTIVIEW_7B, DiTConfig
from cosmos_exp.models.transfer1.control import ClipInputs, ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.transformer import DiT, Trunk
from cosmos_exp.sampling.sampler_params import SamplerParams

SIGMA, GUIDANCE, WEIGHT = 2.0, 5.0, 0.8
Evaluate = Callable[[], Tensor]
PROMPT_WORDS = (150, 100)  # rows of the prompt and of the negative prompt that are not zero


@dataclass(frozen=True)
class Case:
    """One network and one clip. latent: frames of all views, rows, columns. rows: of the text of one view."""

    name: str
    base: DiTConfig
    latent: tuple[int, int, int]
    control_blocks: int = 3
    rows: int = 512

    @property
    def tokens(self) -> int:
        frames, height, width = self.latent
        return frames * height * width // 4

    def flops(self, branches: int = 2) -> float:
        """Multiplications and additions of the matrix products of `branches` evaluations with one control."""
        c, tokens = self.base, self.tokens
        inner = int(c.model_channels * c.mlp_ratio)
        linears = 2 * tokens * c.model_channels * (6 * c.model_channels + 2 * inner)
        self_attention = 4 * tokens**2 * c.model_channels
        cross_attention = 4 * tokens * self.rows * c.model_channels
        return branches * (c.num_blocks + self.control_blocks) * (linears + self_attention + cross_attention)


def cases(size: str) -> list[Case]:
    if size == "7b":
        return [Case("single view", SAMPLE_AV_7B, (16, 88, 160)), Case("six views", SINGLE2MULTIVIEW_7B, (48, 72, 128))]
    config = nano_config()
    single, multi = (DiTConfig.from_dict(config[stage]["base"]) for stage in ("single_view", "multi_view"))
    return [Case("single view", single, (4, 18, 32), 1, 256), Case("six views", multi, (24, 18, 32), 1, 256)]


@torch.no_grad()
def random_network(make: Callable[[], Trunk], device: str, dtype: torch.dtype) -> Trunk:
    """Weights drawn on the device itself."""
    with torch.device("meta"):
        net = make()
    net = net.to(dtype).to_empty(device=device)
    for name, parameter in net.named_parameters():
        if "norm_" in name and parameter.ndim == 1:
            nn.init.ones_(parameter)
        else:
            nn.init.normal_(parameter, std=0.02)
    return net.eval()


class Bench:
    """A case with its network, clip and prompts.

    eight_bits: what made its linear layers 8-bit ones, which they stay.
    """

    eight_bits: str | None = None

    def __init__(self, case: Case, device: str, dtype: torch.dtype):
        torch.manual_seed(0)
        self.case, self.device = case, device
        encoder = case.base.control(hint_channels=16, num_blocks=case.control_blocks)
        base = random_network(lambda: DiT(case.base), device, dtype)
        control = random_network(lambda: ControlEncoder(encoder), device, dtype)
        self.denoiser = Denoiser(ControlledDiT(base, {"hdmap": control})).eval()
        views = case.base.num_views
        self.x = SIGMA * torch.randn(1, 16, *case.latent, device=device)
        self.hint = torch.randn(1, 16, *case.latent, device=device, dtype=dtype)
        self.condition = None
        if case.base.condition_mask:
            given = given_frames(views, case.latent[0] // views).to(device)
            self.condition = FrameCondition(torch.randn_like(self.x), given)
        self.texts = [self.text(words) for words in PROMPT_WORDS]
        if views > 1:
            self.texts[1] = None

    def text(self, words: int) -> Tensor:
        c = self.case.base
        text = torch.zeros(1, c.num_views, self.case.rows, c.text_channels, device=self.device, dtype=self.hint.dtype)
        text[:, :, :words] = torch.randn_like(text[:, :, :words])
        return text.flatten(1, 2)

    def apply_speed(self, speed: Speed) -> None:
        for net in (self.denoiser.net.base, self.denoiser.net.controls["hdmap"]):
            net.apply_speed(speed, self.device)
        if speed.linears != "plain":
            self.eight_bits = speed.linears

    def guided(
        self, guidance: float = GUIDANCE, cache_threshold: float = 0.0, parallel: ParallelContext | None = None
    ) -> Evaluate:
        """A call that evaluates x0 as sampling does."""
        clip = self.denoiser.prepare(self.x, {"hdmap": self.hint}, condition=self.condition)
        denoise = guided(
            self.denoiser,
            clip,
            text=self.texts[0],
            negative_text=self.texts[1],
            sampler=SamplerParams(num_steps=35, guidance=guidance, cache_threshold=cache_threshold),
            weights={"hdmap": WEIGHT},
            condition=self.condition,
            parallel=parallel,
        )
        return lambda: denoise(self.x, SIGMA)

    def reference(self) -> Tensor:
        """x0 by diffusers' blocks."""
        net, case = self.denoiser.net, self.case
        texts = [torch.zeros_like(self.texts[0]) if text is None else text for text in self.texts]
        plain = Denoiser(ReferenceNet(net, case))
        inputs = self.x, torch.tensor([SIGMA])
        controls = {"hdmap": self.hint}, {"hdmap": WEIGHT}
        with sdpa_kernel(KERNELS["auto"], set_priority=True):  # left alone, torch may take flash on a GPU with cuDNN's
            cond, uncond = (plain(*inputs, text, *controls, condition=self.condition) for text in texts)
        return cond + GUIDANCE * (cond - uncond)


class ReferenceNet(nn.Module):
    """A controlled network's weights in diffusers' own blocks, called one after the other."""

    def __init__(self, net: ControlledDiT, case: Case):
        super().__init__()
        self.net, self.case, self.dtype = net, case, net.dtype
        self.prepare = net.prepare

    def forward(self, x: Tensor, timestep: Tensor, text: Tensor, clip: ClipInputs, weights: dict[str, float]) -> Tensor:
        base, control = self.net.base, self.net.controls["hdmap"]
        residuals, hidden = [], self.start(control, x, clip, "hdmap")
        for i, (block, zero) in enumerate(zip(control.transformer_blocks, control.zero_blocks)):
            hidden = self.block(control, block, hidden, timestep, text, clip.positions["hdmap"])
            if i == 0:
                hidden = hidden + clip.hint_tokens["hdmap"]
            residuals.append(weights["hdmap"] * zero(hidden))
        hidden = self.start(base, x, clip, "base")
        for i, block in enumerate(base.transformer_blocks):
            hidden = self.block(base, block, hidden, timestep, text, clip.positions["base"])
            if i < len(residuals):
                hidden = hidden + residuals[i]
        temb, emb = base.time_embed(base.patch_embed.proj.weight, timestep)
        return base.unpatchify(base.proj_out(base.norm_out(hidden, emb, temb)), base.grid(x))

    def start(self, net: Trunk, x: Tensor, clip: ClipInputs, name: str) -> Tensor:
        return net.tokens(x, clip.channels[name])

    def block(self, net: Trunk, block: nn.Module, hidden: Tensor, timestep: Tensor, text: Tensor, positions) -> Tensor:
        temb, emb = net.time_embed(net.patch_embed.proj.weight, timestep)
        hidden = hidden + positions.extra
        normed, gate = block.norm1(hidden, emb, temb)
        hidden = hidden + gate * block.attn1(normed, image_rotary_emb=positions.rope)
        normed, gate = block.norm2(hidden, emb, temb)
        views = self.case.base.num_views
        per_view = normed.unflatten(1, (views, -1)).flatten(0, 1)
        read = block.attn2(per_view, encoder_hidden_states=text.unflatten(1, (views, -1)).flatten(0, 1))
        hidden = hidden + gate * read.reshape(hidden.shape)
        normed, gate = block.norm3(hidden, emb, temb)
        return hidden + gate * block.ff(normed)


def seconds(call: Callable[[], object], device: str, repeats: int) -> float:
    """Least of several calls. The first call ever, which compiles and allocates, is the caller's to make before."""
    times = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def matrix_peak(device: str, dtype: torch.dtype) -> float:
    """Multiplications and additions per second of a large square product of random matrices."""
    side = 8192 if device != "cpu" else 1024
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    _ = a @ b
    return 2 * side**3 / seconds(lambda: a @ b, device, 10)


@torch.inference_mode()
def run(
    size: str, device: str, dtype: torch.dtype, only: str | None = None, repeats: int = 2, chosen: Collection[str] = ()
) -> list[dict[str, object]]:
    """One row per case and way of evaluating."""
    rows: list[dict[str, object]] = []
    peak = matrix_peak(device, dtype)
    for case in cases(size):
        if only and only not in case.name:
            continue
        bench = Bench(case, device, dtype)
        expected = bench.reference()
        reference = seconds(bench.reference, device, repeats)

        def row(way: str, time: float, result: Tensor | None = None, case=case, reference=reference, expected=expected):
            rows.append(measured(case, way, time, reference, peak))
            if result is not None:
                rows[-1]["difference"] = ((result - expected).norm() / expected.norm()).item()
            print(line(rows[-1]), flush=True)

        row("diffusers' blocks, two evaluations", reference)
        for name, speed in ways(device).items():
            if chosen and name not in chosen:
                continue
            try:
                if bench.eight_bits not in (None, speed.linears):
                    call = result = bench = None
                    bench = Bench(case, device, dtype)
                bench.apply_speed(speed)
                call = bench.guided()
                result = call()
            except UserError as error:
                print(f"{case.name:<12} {case.tokens:>7} {name:<36} {error}")
                continue
            row(name, seconds(call, device, repeats), result)
            if name in ("compiled", "fp8 both"):
                for part, options in (("conditional alone", {"guidance": 0.0}), ("reused", {"cache_threshold": 0.9})):
                    call = bench.guided(**options)
                    call()
                    row(f"{name}, {part}", seconds(call, device, repeats))
        del bench
        if device != "cpu":
            torch.cuda.empty_cache()
    return rows


@torch.inference_mode()
def run_together(size: str, dtype: torch.dtype, only: str | None, repeats: int) -> list[dict[str, object]]:
    """Rows of one process, which the others wait for, and of all together. Under torchrun, one GPU each."""
    parallel = ParallelContext.from_environment("cuda" if torch.cuda.is_available() else "cpu")
    device, rows = str(parallel.device), []
    speed = Speed(compile=parallel.device.type == "cuda")
    peak = matrix_peak(device, dtype)
    for case in cases(size):
        if only and only not in case.name:
            continue
        bench = Bench(case, device, dtype)
        bench.apply_speed(speed)
        alone = bench.guided()
        expected = alone()
        one = seconds(alone, device, repeats) if parallel.rank == 0 else 0.0
        dist.barrier()
        together = bench.guided(parallel=parallel)
        result = together()
        all_of_them = seconds(together, device, repeats)
        if parallel.rank == 0:
            rows.append(measured(case, "one process", one, one, peak))
            rows.append(measured(case, f"{parallel.size} processes", all_of_them, one, peak))
            rows[-1]["difference"] = ((result - expected).norm() / expected.norm()).item()
            print(line(rows[-2]), line(rows[-1]), sep="\n", flush=True)
        del bench, alone, together
        if parallel.device.type == "cuda":
            torch.cuda.empty_cache()
    return rows


def measured(case: Case, way: str, time: float, reference: float, peak: float) -> dict[str, object]:
    rate = case.flops() / time
    values = {"case": case.name, "tokens": case.tokens, "way": way, "seconds": time, "ratio": time / reference}
    values |= {"teraflops": rate / 1e12, "share_of_peak": rate / peak}
    if torch.cuda.is_available():
        values["peak_gb"] = torch.cuda.max_memory_allocated() / 2**30
    return values


def ways(device: str) -> dict[str, Speed]:
    fused = device != "cpu"
    return {
        "sampling": Speed(),
        "compiled": Speed(compile=fused),
        "fp8 attention": Speed(attention="fp8", compile=fused),
        "fp8 linears": Speed(linears="fp8", compile=fused),
        "fp8 both": Speed("fp8", "fp8", compile=fused),
        "te linears": Speed(linears="te", compile=fused),
        "fp8 attention, te linears": Speed("fp8", "te", compile=fused),
    }


def line(row: dict[str, object]) -> str:
    error = f"{row['difference']:.1e}" if "difference" in row else ""
    return (
        f"{row['case']:<12} {row['tokens']:>7} {row['way']:<36} {row['seconds']:>9.4f} {row['ratio']:>6.3f} "
        f"{row['teraflops']:>8.1f} {row['share_of_peak']:>6.2f} {error:>9} {row.get('peak_gb', 0):>6.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("7b", "nano"), default="7b")
    parser.add_argument("--only", help="part of a case's name")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=tuple(ways("cpu")), help="of evaluating; all of them if not given")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    if device == "cpu" and arguments.size == "7b":
        parser.error("the released size needs a GPU; --size nano runs here")
    if os.environ.get("RANK", "0") == "0":
        name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        print(
            f"{name}, torch {torch.__version__}, {dtype}; matrix peak {matrix_peak(device, dtype) / 1e12:.1f} TFLOP/s"
        )
        print(
            f"{'case':<12} {'tokens':>7} {'guided evaluation':<36} {'seconds':>9} {'ratio':>6} {'TFLOP/s':>8} peak",
            end="",
        )
        print(f" {'difference':>12} {'GB':>6}", flush=True)
    if "RANK" in os.environ:
        rows = run_together(arguments.size, dtype, arguments.only, arguments.repeats)
    else:
        options = {"only": arguments.only, "repeats": arguments.repeats, "chosen": arguments.ways or ()}
        rows = run(arguments.size, device, dtype, **options)
    if arguments.json and rows:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

"""Cosmos-Transfer2.5-2B auto/multiview at its released size with random weights: time, memory, a whole run, two GPUs.

python -m benchmarks.transfer25 all OUT                  # one GPU with 80 GB or more: all parts that need one GPU
python -m benchmarks.transfer25 all OUT --tiny           # the same program with small networks; on a CPU a minute
python -m benchmarks.transfer25 evaluation OUT           # a guided evaluation of seven views, beside diffusers' blocks
python -m benchmarks.transfer25 memory OUT               # peaks of every part, under the limits of smaller cards
python -m benchmarks.transfer25 pipeline OUT             # text to seven views of two chunks; writes 20 GB of weights
python -m benchmarks.transfer25 processes OUT            # the evaluation on two GPUs together

Each part first prints its estimate, from FLOPs, and writes OUT/<part>.json after each row, so that what is cut off
loses nothing. The reference evaluates both passes of guidance by themselves, as the original does: diffusers' blocks in
eager mode on torch's fastest attention, everything that a clip or a step shares computed again. On a GPU the networks
work in bfloat16, on a CPU in float32.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks import memory
from benchmarks.transfer25_parts import (
    GUIDANCE,
    NAME,
    STEPS,
    Chunk,
    ClipSize,
    Plain,
    Results,
    model_config,
    random_network,
    random_part,
    tokenizer_seconds,
)
from cosmos_exp.common.gpu_memory import GIB
from cosmos_exp.common.threads import torch_threads
from cosmos_exp.models.checkpoints.checkpoint import save_state
from cosmos_exp.models.dit.description import CONFIG_FILE
from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.kernels import float8
from cosmos_exp.models.kernels.attention import attend
from cosmos_exp.models.kernels.fused import EAGER, compiled
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer25.network import ControlledNet
from cosmos_exp.models.transfer25.text import TextEncoder
from cosmos_exp.models.transfer25.tokenizer import VideoTokenizer
from cosmos_exp.runs.cost_history import History
from cosmos_exp.sampling.flow import FlowParams

INTERVALS: tuple[tuple[float, float] | None, ...] = (None, (0.3, 10.0), (1.0, 10.0))
"""Of guidance, for which a whole clip is added up; the second is that of speed=fast."""
SETUP_SECONDS = {"evaluation": 60.0, "memory": 60.0, "pipeline": 120.0, "processes": 60.0}
"""Beside the networks: imports, weights, compilation, rendering, videos."""
ON_ONE_GPU = ("evaluation", "memory", "pipeline")

Made = TypeVar("Made")


class Place(NamedTuple):
    """out: folder of the results."""

    out: Path
    tiny: bool
    device: str

    @property
    def config(self) -> dict[str, Any]:
        return model_config(self.tiny)

    @property
    def size(self) -> ClipSize:
        return ClipSize.of(self.config)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.device == "cpu" else torch.bfloat16

    def setup(self, part: str) -> float:
        """Seconds that a part takes beside its networks."""
        return SETUP_SECONDS[part] / (10 if self.tiny else 1)

    def speed(self, attention: str = "auto", linears: str = "plain") -> Speed:
        return Speed(attention, linears, compile=self.device != "cpu")


# A guided evaluation


def evaluation_seconds(place: Place) -> float:
    size, device = place.size, place.device
    exact, both = Speed(), Speed("fp8", "fp8")
    passes = [(5, exact), (1, Speed(attention="fp8")), (3, both), (1, Speed(linears="fp8"))]
    return place.setup("evaluation") + sum(size.seconds(count, device, speed) for count, speed in passes)


def evaluation(place: Place) -> None:
    size = place.size
    print(size.derivation(), flush=True)
    bench = _Evaluations(place)
    bench.attention_kernels()
    exact, eight = place.speed(), place.speed("fp8", "fp8")
    cond = bench.plain_pass(0)
    guided = bench.row("exact, guided", exact)
    uncond = bench.plain_pass(1)
    if cond is not None and uncond is not None and guided is not None:
        expected = cond + GUIDANCE * (cond - uncond)
        bench.results.add("exact, guided, against diffusers' blocks", difference=_difference(guided, expected))
    alone = bench.row("exact, conditional pass alone", exact, cond, guidance=0.0)
    bench.row("fp8 attention, conditional pass alone", place.speed("fp8"), alone, guidance=0.0)
    bench.row("fp8 both, guided", eight, guided, cached="fp8 both, from the step cache")
    bench.row("fp8 both, conditional pass alone", eight, alone, guidance=0.0)
    bench.row("fp8 linears, conditional pass alone", place.speed("auto", "fp8"), alone, guidance=0.0)
    bench.whole_clips()


class _Evaluations:
    """One network on one chunk, evaluated in several ways; one that fails is a row and costs no other."""

    def __init__(self, place: Place):
        self.place, self.device = place, place.device
        size = place.size
        self.work = sum(size.work(2).values())
        self.results = Results(place.out, "evaluation", self.device, tokens=size.tokens, flops=size.work(2))
        self.net = random_network(size.network, self.device, place.dtype)
        self.chunk, self.plain = Chunk(size, self.device, place.dtype), Plain(self.net, size.views)
        self.warm = _Warm(place)
        self.speed: Speed | None = None
        self.plain_seconds: list[float] = []
        self.seconds: dict[str, float] = {}

    def attention_kernels(self) -> None:
        """One self-attention of all tokens by each kernel, and its difference from the first's.

        Values have a common mean of one standard deviation, as in the nano model: sums in less than float32 show there.
        """
        config, fused = self.place.size.network, compiled() if self.device != "cpu" else EAGER
        shape = (3, 1, self.place.size.tokens, config.num_heads, config.head_dim)
        query, key, value = torch.randn(shape, device=self.device, dtype=self.place.dtype).transpose(2, 3)
        value += 1
        bound = query.abs().max().item(), key.abs().max().item()
        work = 4 * self.place.size.tokens**2 * config.model_channels
        calls: dict[str, Callable[[], Tensor | float8.Attended]] = {
            name: partial(attend, query, key, value, name)
            for name in (("auto", "flash") if self.device == "cpu" else ("cudnn", "flash"))
        }
        calls["fp8"] = partial(float8.attend, query, key, value, bound, fused)
        first: Tensor | None = None
        for name, call in calls.items():
            what = f"attention alone, {name}"
            try:
                with torch.inference_mode():
                    call()
                    made, took, _ = _timed(call, self.device)
                    if isinstance(made, float8.Attended):
                        made = made.total(self.place.dtype)
            except Exception as error:  # of a kernel: any
                self._failed(what, error)
                continue
            first = made if first is None else first
            self.results.add(what, seconds=took, teraflops=work / took / 1e12, difference=_difference(made, first))

    def plain_pass(self, text: int) -> Tensor | None:
        what = "one pass of diffusers' blocks"
        try:
            if not self.plain_seconds:
                self.warm.plain()
            made, took, peak = _timed(lambda: self.plain(self.chunk, self.chunk.texts[text]), self.device)
        except Exception as error:  # of a kernel: any
            return self._failed(what, error)
        self.plain_seconds.append(took)
        self.results.add(what, seconds=took, teraflops=self.work / 2 / took / 1e12, peak_gib=peak)
        return made

    def row(
        self,
        what: str,
        speed: Speed,
        against: Tensor | None = None,
        *,
        guidance: float = GUIDANCE,
        cached: str | None = None,
    ) -> Tensor | None:
        """against: what the difference is to. cached: name of a second row, that evaluation from the step cache."""
        try:
            if speed != self.speed:
                self.warm(speed)
                self.net.apply_speed(speed, self.device)
                self.speed = speed
            call = self.chunk.evaluation(self.net, guidance=guidance, cache_threshold=0.9 if cached else 0.0)
            made, took, peak = _timed(call, self.device)
        except Exception as error:  # of a kernel: any
            return self._failed(what, error)
        self._add(what, took, {"peak_gib": peak}, made, against)
        if cached:
            again, took, _ = _timed(call, self.device)
            self._add(cached, took, {}, again, made)
        return made

    def _add(self, what: str, took: float, values: dict[str, Any], made: Tensor, against: Tensor | None) -> None:
        self.seconds[what] = took
        values = {"seconds": took, **values}
        if self.plain_seconds:
            values["ratio"] = took / (2 * mean(self.plain_seconds))
        if against is not None:
            values["difference"] = _difference(made, against)
        self.results.add(what, **values)

    def _failed(self, what: str, error: Exception) -> None:
        """A kernel that is not there, or too little memory, is a row of its own; the others go on."""
        self.results.add(what, error=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        self.speed = None

    def whole_clips(self) -> None:
        """Sums of the rows over all levels of a chunk, to so many evaluations of the reference. computed: share of the
        evaluations that the step cache leaves, assumed."""
        reference = 2 * mean(self.plain_seconds) if self.plain_seconds else float("nan")
        for speed, shares in (("exact", (1.0,)), ("fp8 both", (1.0, 0.67))):
            both, alone = (self.seconds.get(f"{speed}, {kind}") for kind in ("guided", "conditional pass alone"))
            if both is None or alone is None:
                continue
            reused = self.seconds.get(f"{speed}, from the step cache", 0.0)
            for interval, computed in product(INTERVALS, shares):
                params = FlowParams(STEPS, GUIDANCE, guidance_interval=interval)
                guided = sum(bool(params.guidance_at(sigma)) for sigma in params.levels)
                total = computed * (guided * both + (STEPS - guided) * alone) + (1 - computed) * STEPS * reused
                self.results.add(
                    f"{STEPS} steps, {speed}, guidance in {interval or 'all levels'}",
                    seconds=total,
                    ratio=total / (STEPS * reference),
                    guided=guided,
                    computed=computed,
                )


class _Warm:
    """Compiles and loads kernels at full size, on networks of a few blocks."""

    def __init__(self, place: Place):
        self.place = place
        size = place.size
        self.size = replace(size, network=replace(size.network, num_blocks=2, control_every=2))

    def __call__(self, speed: Speed) -> None:
        net = self._net()
        net.apply_speed(speed, self.place.device)
        start = time.perf_counter()
        self._chunk().evaluation(net)()
        _wait(self.place.device)
        print(f"  warm-up of {speed}: {time.perf_counter() - start:.1f} s", flush=True)

    def plain(self) -> None:
        chunk = self._chunk()
        Plain(self._net(), self.size.views)(chunk, chunk.texts[0])
        _wait(self.place.device)

    def _net(self) -> ControlledNet:
        return random_network(self.size.network, self.place.device, self.place.dtype)

    def _chunk(self) -> Chunk:
        return Chunk(self.size, self.place.device, self.place.dtype)


def _timed(call: Callable[[], Made], device: str) -> tuple[Made, float, float]:
    """Result, seconds, peak GiB in tensors."""
    _wait(device)
    on_gpu = device != "cpu"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    made = call()
    _wait(device)
    took = time.perf_counter() - start
    return made, took, torch.cuda.max_memory_allocated() / GIB if on_gpu else 0.0


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _difference(made: Tensor, expected: Tensor) -> float:
    """Relative, of the norm."""
    return ((made.float() - expected.float()).norm() / expected.float().norm()).item()


# Memory


def memory_seconds(place: Place) -> float:
    encode, decode = tokenizer_seconds(place.config, place.device)
    exact, eight = (place.size.seconds(2, place.device, Speed(linears=linears)) for linears in ("plain", "fp8"))
    return place.setup("memory") + 2 * exact + eight + len(memory.USABLE) * (encode + decode)


def peaks(place: Place) -> None:
    results = Results(place.out, "memory", place.device, tokens=place.size.tokens, usable_gib=memory.USABLE)
    size = "2b_tiny" if place.tiny else "2b"
    for row in memory.run(size, tuple(memory.USABLE), "both", place.device):
        results.add(f"{row.pop('preset')}: {row.pop('what')}", **row)


# A whole run


def pipeline_seconds(place: Place, steps: int = 1) -> float:
    encode, decode = tokenizer_seconds(place.config, place.device)
    views = place.size.views
    sampling = place.size.seconds(2 * steps, place.device)
    return place.setup("pipeline") + 2 * (sampling + views * (encode + decode)) + views * encode / 4


def pipeline(place: Place, steps: int, overrides: Sequence[str]) -> None:
    results = Results(place.out, "pipeline", place.device, steps=steps, overrides=list(overrides))
    with tempfile.TemporaryDirectory(prefix="transfer25_") as folder:
        root = Path(folder)
        for name, seconds in write_model(place, root / "model"):
            results.add(f"write {name}", seconds=seconds)
        frames = pixel_frames(place)
        hardware = "cpu" if place.device == "cpu" else "gpu"
        start = time.perf_counter()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "cosmos_exp", f"model={NAME}", f"model.weights={root}/model"),
                *("scene.duration=6", "controls=wsm", "views=seven", "sensors=nvidia_seven", f"hardware={hardware}"),
                *("sampler=transfer25", f"sampler.num_steps={steps}", f"model.num_frames={frames}", "previews=none"),
                *("metrics.names=[]", "metrics.gate=false", "guardrails=off", "tracking=disabled", "name=dry_run"),
                *(f"paths.outputs={root}/outputs", f"paths.cache={root}/cache", *overrides),
            ],
            check=False,
        )
        wall = time.perf_counter() - start
        run = root / "outputs" / "runs" / "dry_run"
        if (run / "status.json").is_file():
            status = json.loads((run / "status.json").read_text())
            for stage, seconds in status.get("seconds", {}).items():
                results.add(f"stage {stage}", seconds=seconds, peak=status.get("gpu_memory", {}).get(stage))
            for what, spent in seconds_of_results(root / "cache").items():
                results.add(f"results of {what}", number=len(spent), seconds=sum(spent), longest=max(spent))
            for video in sorted(run.rglob("*.mp4")):
                results.add(str(video.relative_to(run)), bytes=video.stat().st_size)
        results.add("the command", seconds=wall, exit_code=done.returncode)
    if done.returncode:
        sys.exit(done.returncode)


def seconds_of_results(cache: Path) -> dict[str, list[float]]:
    """{stage: seconds of each of its results}, as the cache keeps them."""
    found: dict[str, list[float]] = {}
    for cost in History(cache).costs():
        found.setdefault(cost.stage, []).append(cost.seconds)
    return found


def pixel_frames(place: Place) -> int:
    """Of two chunks, which share a frame."""
    return 2 * place.size.frames - 1


def write_model(place: Place, folder: Path) -> list[tuple[str, float]]:
    """A model folder with random weights, drawn on the device; seconds of each part."""
    config, took = place.config, []
    folder.mkdir(parents=True)
    tokens = config["contract"]["text_tokens"]
    makers: dict[str, Callable[[], Any]] = {
        "network": lambda: ControlledNet(place.size.network),
        "tokenizer": lambda: VideoTokenizer(config["tokenizer"]),
        "text_encoder": lambda: TextEncoder(config["text_encoder"], tokens),
    }
    for name, make in makers.items():
        start = time.perf_counter()
        part = random_part(make, place.device, torch.bfloat16)
        save_state(part, folder / f"{name}.safetensors", torch.bfloat16)
        took.append((name, time.perf_counter() - start))
        del part
        gc.collect()
        if place.device != "cpu":
            torch.cuda.empty_cache()
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n")
    return took


# Several GPUs


def processes_seconds(place: Place) -> float:
    return place.setup("processes") + place.size.seconds(2 + 1 + 1, place.device)  # alone; guided, conditional together


def processes(place: Place, count: int) -> None:
    """Rows of one process, which the others wait for, and of all together."""
    if "RANK" not in os.environ:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        command += ["-m", "benchmarks.transfer25", "processes", str(place.out), f"--device={place.device}"]
        sys.exit(subprocess.run([*command, *(["--tiny"] if place.tiny else [])], check=False).returncode)
    parallel = ParallelContext.from_environment(place.device)
    first = parallel.rank == 0
    place, size = place._replace(device=str(parallel.device)), place.size
    results = Results(place.out, "processes", place.device, processes=parallel.size) if first else None
    speed = place.speed()
    _Warm(place)(speed)
    torch.manual_seed(0)  # the same weights on every rank
    net = random_network(size.network, place.device, place.dtype)
    net.apply_speed(speed, place.device)
    chunk = Chunk(size, place.device, place.dtype)
    alone: dict[float, tuple[Tensor, float]] = {}
    if results:
        for guidance in (GUIDANCE, 0.0):
            made, took, peak = _timed(chunk.evaluation(net, guidance=guidance), place.device)
            alone[guidance] = made, took
            results.add(f"one process, guidance {guidance:g}", seconds=took, peak_gib=peak)
    dist.barrier()
    for guidance in (GUIDANCE, 0.0):
        call = chunk.evaluation(net, guidance=guidance, parallel=parallel)
        made, took, peak = _timed(call, place.device)
        if results:
            expected, one = alone[guidance]
            values = {"seconds": took, "ratio": took / one, "difference": _difference(made, expected)}
            results.add(f"{parallel.size} processes, guidance {guidance:g}", **values, peak_gib=peak)
    dist.barrier()
    dist.destroy_process_group()


# All of them

ESTIMATES: dict[str, Callable[[Place], float]] = {
    "evaluation": evaluation_seconds,
    "memory": memory_seconds,
    "pipeline": pipeline_seconds,
    "processes": processes_seconds,
}


def run_all(place: Place, parts: Sequence[str], most_seconds: float | None) -> int:
    """Each part in a process of its own, in order; those that would not end in time are left out."""
    start, failed = time.perf_counter(), 0
    for part in parts:
        estimate, spent = ESTIMATES[part](place), time.perf_counter() - start
        if most_seconds is not None and spent + estimate > most_seconds:
            print(f"{part}: left out, {spent:.0f} s of {most_seconds:.0f} are spent and it needs about {estimate:.0f}")
            continue
        command = [sys.executable, "-m", "benchmarks.transfer25", part, str(place.out), f"--device={place.device}"]
        code = subprocess.run([*command, *(["--tiny"] if place.tiny else [])], check=False).returncode
        print(f"{part}: exit code {code}, {time.perf_counter() - start - spent:.0f} s\n", flush=True)
        failed |= code
    return 1 if failed else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("all", *ESTIMATES))
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--tiny", action="store_true", help="small networks and pictures")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=tuple(ESTIMATES), default=ON_ONE_GPU, help="of all")
    parser.add_argument("--seconds", type=float, help="all: leave out parts that would not end in so many")
    parser.add_argument("--steps", type=int, default=1, help="pipeline: of the solver")
    parser.add_argument("--overrides", nargs="*", default=(), help="pipeline: of the run's config")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    place = Place(asked.out, asked.tiny, asked.device)
    if asked.device == "cpu" and not asked.tiny:
        parser.error("the released size needs a GPU; --tiny runs here")
    if os.environ.get("RANK", "0") == "0":
        for part in asked.parts if asked.part == "all" else (asked.part,):
            print(f"{part}: about {ESTIMATES[part](place):.0f} s by its FLOPs", flush=True)
    if asked.part == "all":
        sys.exit(run_all(place, asked.parts, asked.seconds))
    with torch_threads(1) if asked.device == "cpu" else nullcontext():  # as a run on a CPU computes
        if asked.part == "evaluation":
            evaluation(place)
        elif asked.part == "memory":
            peaks(place)
        elif asked.part == "pipeline":
            pipeline(place, asked.steps, asked.overrides)
        else:
            processes(place, asked.processes)


if __name__ == "__main__":
    main()

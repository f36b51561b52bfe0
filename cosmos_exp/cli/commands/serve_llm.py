"""`cosmos-exp serve-llm MODEL [-- OPTION ...]`: a language model behind vLLM's server."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors

GRACE_KEY = "the grace of vLLM"


def command_line() -> Parser:
    parser = Parser(
        "serve-llm",
        "Start vLLM, in an environment of its own, with a language or vision-language model, say where it listens, and "
        "stop it on Ctrl-C or SIGTERM. What follows -- are options of vLLM: `cosmos-exp serve-llm Qwen/Qwen3-14B -- "
        "--max-model-len 8192`. Runs ask it with llm=endpoint.",
    )
    parser.add_argument("model", metavar="MODEL", help="a folder, or the name of a model on the Hugging Face Hub")
    parser.add_argument(
        "overrides",
        metavar="OVERRIDE",
        nargs="*",
        help="hydra/launcher=slurm and hydra.launcher.KEY=VALUE: as a Slurm job",
    )
    parser.add_argument(
        "--python", metavar="FILE", help="of an environment with vLLM; default: that of COSMOS_EXP_VLLM"
    )
    parser.add_argument("--host", help="address to listen on, 127.0.0.1 by default; of a Slurm job: 0.0.0.0")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: any free one")
    parser.add_argument("--name", help="of the model, for clients; default: MODEL, of a folder its last part")
    parser.add_argument("--state", metavar="FOLDER", type=Path, help="of log and address; default: outputs/llm/NAME")
    parser.add_argument("--gpus", type=int, default=1, help="of a Slurm job; default: 1")
    parser.add_argument("--start-timeout", type=float, default=1800.0, metavar="SECONDS", help="until it listens")
    parser.add_argument(
        "--no-key", action="store_true", help="ask other machines for no key; else it is that of COSMOS_EXP_LLM_KEY"
    )
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="a folder of launchers of your own")
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.sweeps import server_job

    cut = arguments.index("--") if "--" in arguments else len(arguments)
    own, options = list(arguments[:cut]), list(arguments[cut + 1 :])
    given = command_line().parse(own)
    if unknown := [text for text in given.overrides if not server_job.is_launchers(text)]:
        raise UserError(f"surplus argument {unknown[0]!r}; options of vLLM stand after --")
    name = given.name or (Path(given.model).resolve().name if Path(given.model).is_dir() else given.model)
    state = given.state or _outputs() / "llm" / name.replace("/", "--")
    if given.overrides:
        return _submit(given, own, options, state)
    return _serve(given, name, options, state)


def _serve(given, name: str, options: list[str], state: Path) -> int:
    from cosmos_exp.common.locks import locked
    from cosmos_exp.llm import vllm_server
    from cosmos_exp.llm.vllm_server import Launch, find_python, usable_port
    from cosmos_exp.serving.config import ENDPOINT, write_endpoint

    host = given.host or "127.0.0.1"
    _check(given, host, options)
    launch = Launch(find_python(given.python), given.model, name, host, given.port, _key(given, host), options)
    launch = replace(launch, port=usable_port(host, given.port))
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = state / "vllm.log"

    def ready() -> None:
        write_endpoint(state, launch.url, time.time())
        print(f"listens on {launch.url}")
        print(f"for a run: llm=endpoint llm.endpoint={launch.url} llm.model={name}")
        print("key: that of COSMOS_EXP_LLM_KEY" if launch.key else "no key is asked for")
        print("Ctrl-C stops", flush=True)

    try:
        with locked(state / "lock", wait=False):
            print(f"vLLM of {launch.python} starts {given.model}; its log: {log}", flush=True)
            try:
                vllm_server.serve(launch, log, lambda line: print(line, flush=True), ready, given.start_timeout)
            finally:
                (state / ENDPOINT).unlink(missing_ok=True)
    except BlockingIOError:
        raise UserError(f"another server has the folder {state}; give another --state") from None
    return 0


def _submit(given, own: list[str], options: list[str], state: Path) -> int:
    """As a Slurm job. Its model and its Python are looked at there."""
    from cosmos_exp.llm.vllm_server import GRACE
    from cosmos_exp.sweeps import server_job

    host = given.host or server_job.ANY
    launcher = server_job.launcher_of(given.overrides, given.config_dir)
    errors = list(server_job.launcher_problems(launcher, GRACE_KEY, GRACE))
    if given.gpus < 0:
        errors.append(f"--gpus {given.gpus}: must be 0 or more")
    if errors:
        raise ValidationErrors(errors)
    _check(given, host, options)
    arguments = [text for text in own if not server_job.is_launchers(text)]
    arguments += [] if given.host else ["--host", host]
    arguments += [] if given.state else ["--state", str(state.resolve())]
    arguments += ["--", *options] if options else []
    job = server_job.submit(["serve-llm", *arguments], launcher, state, given.gpus, GRACE)
    server_job.follow(job, launcher["wait"])
    return 0


def _check(given, host: str, options: Sequence[str]) -> None:
    from cosmos_exp.llm.vllm_server import launch_problems

    errors = list(launch_problems(given.model, options))
    if not 0 <= given.port <= 65535:
        errors.append(f"--port {given.port}: must be 1 to 65535, or 0 for any free one")
    if not 0 < given.start_timeout < float("inf"):
        errors.append(f"--start-timeout {given.start_timeout:g}: must be above 0 seconds")
    if errors:
        raise ValidationErrors(errors)
    _key(given, host)


def _key(given, host: str) -> str | None:
    """That clients need. UserError where other machines could ask without one, unless that is wanted."""
    from cosmos_exp.common.urls import checked_token
    from cosmos_exp.llm.config import KEY
    from cosmos_exp.serving.config import is_loopback

    found = os.environ.get(KEY)
    if given.no_key or (not found and is_loopback(host)):
        return None
    if not found:
        raise UserError(f"other machines reach {host}: set {KEY} to the key that they need, or give --no-key")
    return checked_token(found)


def _outputs() -> Path:
    from cosmos_exp.config.compose import compose
    from cosmos_exp.config.schema import typed

    return Path(typed(compose([])).paths.outputs)

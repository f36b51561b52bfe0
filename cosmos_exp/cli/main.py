"""The `cosmos-exp` command. Nothing heavy is imported before it is known what is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from cosmos_exp.common import torchrun
from cosmos_exp.common.entry_points import model_entry_points
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.interpreter import quick_exit
from cosmos_exp.common.terminal import plain, plain_output
from cosmos_exp.config.conf_folder import CONF
from cosmos_exp.runs import stopping
from cosmos_exp.runs.stopping import Stopped

USAGE = """\
cosmos-exp: from a driving scene to a six-camera video, metrics and a W&B run.

Usage
  cosmos-exp [run] [OVERRIDE ...]        run the pipeline
  cosmos-exp -m [OVERRIDE ...]           run a sweep: every combination of the comma-separated values
  cosmos-exp plan [OVERRIDE ...]         what a run or sweep would compute, its time and disk; --run runs it
  cosmos-exp search KEY=interval(A,B) ... --objective METRIC  the best values, by Optuna
  cosmos-exp show rig=NAME | scene=NAME  a picture of the cameras, or of the scene from above
  cosmos-exp novel-pose -i ROOT ...      a novel ego trajectory of an RDS-HQ clip
  cosmos-exp render rds-hq -i ROOT -o OUT  the HD-map and LiDAR videos of RDS-HQ clips
  cosmos-exp render wsm -i CLIP -o OUT  World Scenario videos of ClipGT and RDS-HQ clips
  cosmos-exp check-clip CLIP             what a model will miss or mistake in such a clip
  cosmos-exp controls --sensors FILE -o OUT  the control videos of a CARLA sensor file
  cosmos-exp capture --sensors FILE -f LOG -o OUT  the same from a running CARLA server
  cosmos-exp scene info LOG [--json]     what a CARLA recorder log holds
  cosmos-exp carla-sim [--map X.xodr]    a CARLA server for the `carla` client, without CARLA
  cosmos-exp request ENDPOINT FILE ...   videos of request files (TOML) from a server, as CARLA's client gets them
  cosmos-exp samples run FILE ... -o OUT  videos of NVIDIA's sample files (JSON); samples write: such a file of a run
  cosmos-exp status FOLDER               states of a sweep, a search or runs, time left; live on a terminal
  cosmos-exp retry SWEEP_FOLDER [--failed | --cell N]  run the cells that are not done
  cosmos-exp cancel SWEEP_FOLDER         end a sweep, wherever it runs
  cosmos-exp compare SWEEP_FOLDER        write the page that shows a sweep's cells side by side
  cosmos-exp distance SWEEP_FOLDER --to FOLDER  FID and FVD of its settings to other runs
  cosmos-exp explain METRIC|CONFIG.KEY   what it means, its range and default, what it compares with
  cosmos-exp sync FOLDER [--online]      run folders to W&B, from disk; each run is sent once
  cosmos-exp dashboard SWEEP_FOLDER      save the comparison as a W&B workspace
  cosmos-exp evaluate RUN_OR_SWEEP [--metrics A,B]  metrics of finished runs, computed in place
  cosmos-exp reproduce RUN_FOLDER        rerun from an empty cache, and compare the results bit by bit
  cosmos-exp verify goldens FOLDER       check the networks against a folder of golden tensors
  cosmos-exp verify render FOLDER        check the renderer against a folder of golden frames
  cosmos-exp export rds-hq|clipgt -o OUT [OVERRIDE ...]  write the scene as a clip of NVIDIA's formats
  cosmos-exp captions rewrite -i DIR -o DIR [OVERRIDE ...]  captions of clips in seven styles, by a language model
  cosmos-exp convert waymo -i DIR -o ROOT  Waymo Open Dataset segments as RDS-HQ clips
  cosmos-exp download MODEL ... [--dry-run]  the released checkpoints, from the Hugging Face Hub
  cosmos-exp convert checkpoint SRC -o FOLDER --model NAME  what was downloaded as a model folder
  cosmos-exp serve [OVERRIDE ...]        a server that generates for others: job API and page; serve token: who may
  cosmos-exp serve-llm MODEL             a language model for captions, behind vLLM's server
  cosmos-exp jobs submit|list|watch|...  the jobs of such a server, from another machine
  cosmos-exp train [OVERRIDE ...]        train the nano model
  cosmos-exp example DIR                 a small log, map, sensor file and clip to try the commands with
  cosmos-exp warmup                      compile the renderer now, so that the first run need not
  cosmos-exp cache [prune] [FOLDER] ...  what the stage cache holds; prune evicts what was not used for long

Config groups (GROUP=OPTION; * is the default)
{groups}

Examples
  cosmos-exp                                             the end-to-end pipeline on the default scene
  cosmos-exp captions.styles=[Rainy,Night] scene.seed=1000003
  cosmos-exp scene=carla_log scene.log=drive.log scene.map=Town01.xodr
  cosmos-exp -m sampler.guidance=1,3,5 controls.hdmap.weight=0.5,1.0
  cosmos-exp -m hydra/launcher=joblib scene.seed=1000000,1000001
  cosmos-exp +sweep=guidance_steps_hdmap

Options
  --cfg job [--resolve]      print the config and stop
  --info [defaults|config]   what Hydra has composed, and how
  --config-dir DIR           add a folder of your own options
  -sc install=bash           shell completion (bash, zsh, fish)
  --hydra-help               every flag of Hydra
  --version                  print the version
"""


def main() -> None:
    """Entry point of the console script; leaves by SystemExit, after Ctrl-C by KeyboardInterrupt."""
    with quick_exit(), plain_output():
        arguments = sys.argv[1:]
        try:
            if torchrun.processes():
                _join_torchrun()
            sys.exit(_dispatch(arguments))
        except UserError as error:
            _fail(str(error), 2)
        except KeyboardInterrupt:
            _interrupted()
            raise  # Python then dies of the signal itself, by which a shell knows to end its loop over scenes too
        except Stopped as stop:
            _fail(f"{stop}; the same command goes on where this run was", 75)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(1)
        except Exception as error:
            if not stopping.came_of_interrupt(error):
                raise
            raise _interrupted() from error


def _interrupted() -> KeyboardInterrupt:
    """Say so once, instead of a traceback."""
    stopping.landed()
    print("cosmos-exp: interrupted", file=sys.stderr)
    sys.excepthook = lambda *_: None
    return KeyboardInterrupt()


def _join_torchrun() -> None:
    """Rank 0 of torchrun's processes goes on; the others become its workers and never return."""
    from cosmos_exp.models.dit import workers

    if torchrun.rank():
        workers.worker_main()
    workers.init_rank_zero()


def _fail(message: str, code: int) -> None:
    print(f"cosmos-exp: {plain(message)}", file=sys.stderr)
    sys.exit(code)


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help", "help"):
        print(USAGE.format(groups=_describe_groups()), end="")
        return 0
    if arguments and arguments[0] == "--version":
        from cosmos_exp import __version__

        print(f"cosmos-exp {__version__}")
        return 0
    if len(arguments) == 2 and arguments[0] == "-sc":
        from cosmos_exp.cli import completion

        return completion.main(arguments[1], COMMANDS, run)
    if arguments and _is_command(arguments[0]):
        command = COMMANDS.get(arguments[0])
        if command is None:
            raise UserError(unknown_name("command", arguments[0], COMMANDS))
        return command(arguments[1:])
    return run(arguments)


def _is_command(argument: str) -> bool:
    """Whether the first argument can only be a command: no flag, no override."""
    return "=" not in argument and argument[:1] not in ("-", "+", "~")


def run(arguments: list[str]) -> int:
    """The main job, with these arguments of Hydra's; returns the exit status."""
    if any(argument in ("-h", "--help") for argument in arguments):
        return _dispatch(["--help"])
    from cosmos_exp.cli.hydra_app import run_app

    def load() -> Callable[[], None]:
        from cosmos_exp.sweeps.job import main

        return main

    return run_app(load, arguments)


def _train(arguments: list[str]) -> int:
    from cosmos_exp.train.config import TrainConfig

    if any(argument in ("-h", "--help") for argument in arguments):
        return _train_help(TrainConfig)
    from cosmos_exp.cli.hydra_app import run_app

    def load() -> Callable[[], None]:
        from cosmos_exp.train.main import main

        return main

    return run_app(load, arguments, TrainConfig)


TRAIN_USAGE = """\
usage: cosmos-exp train [OVERRIDE ...]

Train the nano model; the same command resumes. `cosmos-exp train --cfg job` prints every key with its value.

keys:"""


def _train_help(config: type) -> int:
    from cosmos_exp.common.typed_config import REQUIRED
    from cosmos_exp.config.key_docs import keys_of

    print(TRAIN_USAGE)
    for doc in keys_of(config):
        default = "" if doc.inner or doc.default == REQUIRED else f" = {doc.default}"
        print(f"  {doc.key}: {doc.type}{default}" + f"\n      {doc.text}" * bool(doc.text))
    return 0


# Subcommands whose module in cosmos_exp/commands has a main(arguments) -> exit status.
MODULES = (
    *(
        "scene",
        "show",
        "check-clip",
        "controls",
        "capture",
        "render",
        "export",
        "novel-pose",
        "captions",
        "convert",
        "download",
    ),
    *("plan", "search", "status", "retry", "cancel", "reproduce", "compare", "sync", "dashboard", "verify", "cache"),
    *("distance", "evaluate", "explain", "warmup", "example", "carla-sim", "serve", "serve-llm", "jobs", "request"),
    "samples",
)


def _from_module(name: str) -> Callable[[list[str]], int]:
    def command(arguments: list[str]) -> int:
        return import_module(f"cosmos_exp.cli.commands.{name.replace('-', '_')}").main(arguments)

    return command


COMMANDS = {"run": run, "train": _train, **{name: _from_module(name) for name in MODULES}}


def _describe_groups() -> str:
    """One line per folder of conf/, read from the file system."""
    defaults = default_options()
    lines = []
    for folder in sorted(p for p in CONF.iterdir() if p.is_dir() and p.name not in ("hydra", "__pycache__")):
        options = sorted(p.stem for p in folder.glob("*.yaml"))
        options += sorted(model_entry_points()) if folder.name == "model" else []
        if not options:
            continue
        group = folder.name if folder.name in defaults else f"+{folder.name}"
        starred = [f"{o}*" if defaults.get(folder.name) == o else o for o in options]
        lines.append(f"  {group:<12} {', '.join(starred)}")
    return "\n".join(lines)


def default_options() -> dict[str, str]:
    """{group: option} of the defaults list in config.yaml."""
    found = {}
    for line in (CONF / "config.yaml").read_text().splitlines():
        group, _, option = line.strip().removeprefix("- ").partition(": ")
        if line.startswith("  - ") and option:
            found[group] = option
    return found


if __name__ == "__main__":
    main()

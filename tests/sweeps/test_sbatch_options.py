"""What is asked of sbatch, and for how long."""

from __future__ import annotations

from cosmos_exp.config.launchers import SubmititSlurmConfig
from cosmos_exp.runs.cost_history import Cost, History
from cosmos_exp.sweeps.slurm import SETUP, sbatch_options
from cosmos_exp.sweeps.walltime import UNKNOWN, job_minutes


def options(gpus: int = 0, **settings) -> dict:
    return sbatch_options({**vars(SubmititSlurmConfig(kind="submitit_slurm")), "timeout_min": 60, **settings}, gpus)


def test_settings_have_the_names_of_submitit() -> None:
    from submitit.slurm.slurm import _get_default_parameters

    given = options(partition="a100", mem_gb=64, setup=["module load cuda"], additional_parameters={"nice": 5})
    assert set(given) <= set(_get_default_parameters())
    assert (given["time"], given["job_name"], given["mem"], given["partition"]) == (60, "cosmos-exp", "64GB", "a100")
    assert given["setup"] == [*SETUP, "module load cuda"]


def test_gpus_are_asked_for_where_the_settings_do_not() -> None:
    assert "gpus_per_node" not in options()
    assert options(gpus=4)["gpus_per_node"] == 4
    assert options(gpus=4, gpus_per_node=2)["gpus_per_node"] == 2
    assert "gpus_per_node" not in options(gpus=1, gres="gpu:a100:1")


def test_the_time_follows_from_what_was_measured(configure, tmp_path) -> None:
    configs = [configure("+experiment=quick", f"paths.cache={tmp_path}", f"sampler.seed={seed}") for seed in (0, 1)]
    assert job_minutes(configs, 1)[0] == UNKNOWN
    from cosmos_exp.sweeps.plan import make_plan

    wanted = {w.stage: w for cell in make_plan(configs).cells for w in (*cell.wanted.values(), cell.rest)}
    for w in wanted.values():
        seconds = 3600.0 if w.stage == "single_view" else 0.0
        History(tmp_path).add(Cost(w.stage, w.setting, w.size, w.passes, seconds, bytes=1))
    assert job_minutes(configs, 1)[0] == 98  # 1.5 * (60 + 5), rounded up
    assert job_minutes(configs, 2)[0] == 188

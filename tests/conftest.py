"""Fixtures for the whole suite."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before anything starts threads: each test process has a core of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # with it, each command that a test starts compiles the package
    sys.dont_write_bytecode = False

import pytest
import setuptools  # noqa: F401  # before anything imports distutils: torch.compile needs it, and cannot import it after
from helpers.own_process import OwnProcesses

SLOW = (  # files whose tests start processes, compile, train, or take whole runs through the pipeline
    *("test_remote_model.py", "test_killed_servers.py", "test_many_requests.py"),
    *("test_api.py", "test_plugin_model.py", "test_workers.py", "test_long_video.py"),
    *("test_local_sweeps.py", "test_slurm_sweeps.py", "test_search.py", "test_sweep.py", "test_plan.py"),
    *("test_slurm_server.py", "test_deploy.py", "test_serve_llm.py"),
    *(
        "test_pipeline.py",
        "test_reproduce.py",
        "test_evaluate_runs.py",
        "test_references.py",
        "test_label_verdicts.py",
        "test_survival.py",
        "test_perception.py",
        "test_upscale.py",
        "test_spatial_conditioning.py",
    ),
    *("test_blocked_cells.py", "test_blocked_jobs.py", "test_face_guard.py", "test_safety_guard.py"),
    *("test_completion.py", "test_readme_commands.py", "test_loaded_libraries.py"),
    *("test_gradio_interface.py", "test_page.py", "test_request_command.py", "test_job_api.py", "test_server_life.py"),
    *("test_live_capture.py", "test_capture_command.py", "test_captured.py", "test_captured_metrics.py"),
    *("test_bad_input.py", "test_cli.py", "test_docs.py", "test_cache_command.py", "test_cache_prune.py"),
    *("test_training.py", "test_objectives.py", "test_convert.py", "test_download.py", "test_memory_benchmark.py"),
    *("test_compare.py", "test_compare_plots.py", "test_sync.py", "test_wandb.py", "test_dashboard.py"),
    *("test_procedural.py", "test_scenery.py", "test_carla_log.py", "test_opendrive.py", "test_writer.py"),
    *("test_wsm_verify.py", "test_wsm_videos.py"),
    *("test_networks_verify.py", "test_verify_render.py", "test_videos.py", "test_golden.py", "test_simulated.py"),
    *("test_config.py", "test_scenes.py", "test_renderer.py", "test_upstream_defects.py", "test_scene_pictures.py"),
    *(
        "test_speed.py",
        "test_show.py",
        "test_composer.py",
        "test_parallel.py",
        "test_gpu_leases.py",
        "test_validity.py",
    ),
    *("test_candidates.py", "test_remote_candidates.py", "test_cosmos3_runs.py", "test_own_sampling.py"),
)

FIRST = (  # a file that compiles the kernels of the renderer, some that need none, then those that take longest
    *("test_renderer.py", "test_config.py", "test_cli.py", "test_convert.py", "test_sync.py", "test_docs.py"),
    *("test_slurm_sweeps.py", "test_slurm_server.py", "test_search.py", "test_local_sweeps.py", "test_workers.py"),
    *("test_sweep.py",),
    *("test_bad_input.py", "test_pipeline.py", "test_long_video.py", "test_speed.py", "test_validity.py"),
    *("test_plan.py", "test_plugin_model.py", "test_training.py", "test_parallel.py", "test_api.py"),
    *("test_remote_model.py", "test_server_life.py", "test_killed_servers.py", "test_many_requests.py"),
    *("test_readme_commands.py", "test_gradio_interface.py", "test_job_api.py"),
)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(OwnProcesses())


def pytest_collection() -> None:
    """Modules are loaded, which the garbage collector would traverse again and again."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test-fast` leaves the tests of SLOW files out. Test processes take the FIRST files first."""
    for item in items:
        if item.path.name in SLOW:
            item.add_marker("slow")
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


def pytest_collection_finish() -> None:
    """All modules are loaded, and stay: from now on the garbage collector passes them over. It comes seldom, since
    configs are many small objects without cycles."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _exit_status_of_pytest() -> Iterator[None]:
    """A command that a test runs in this process does not end the process with its own exit status."""
    from cosmos_exp.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "quick_exit", nullcontext)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data that is not part of the repository: $COSMOS_EXP_SHARED, else ../shared."""
    given = os.environ.get("COSMOS_EXP_SHARED")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference data not found: set COSMOS_EXP_SHARED (looked at {folder})")
    return folder


@pytest.fixture(scope="session")
def tiny_config():
    """A function: what describes a model that makes 9 or 17 frames of 32x48 pixels in well under a second."""
    return _tiny_config


@pytest.fixture(scope="session")
def build_tiny():
    """A function: a world model of such a description, with random weights that are nowhere zero."""
    return _build_tiny


@pytest.fixture(scope="session")
def tiny_model():
    return _build_tiny(_tiny_config())


def _tiny_config() -> dict:
    from cosmos_exp.models.transfer1.nano import nano_config

    config = nano_config()
    config["name"] = "tiny"
    config["contract"] |= {"height": 32, "width": 48, "text_tokens": 24}
    config["contract"] |= {"default_steps": 8, "multi_view_guidance": None}
    config["contract"]["frames"]["most"] = 17
    config["tokenizer"]["vae"] |= {
        "encoder_block_out_channels": (8, 8, 8),
        "decode_block_out_channels": (8, 8, 8, 8),
    }
    config["text_encoder"] |= {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    small = {"model_channels": 24, "num_heads": 2, "num_blocks": 2, "text_channels": 16, "adaln_lora_dim": 4}
    for stage in ("single_view", "multi_view"):
        config[stage]["base"] |= small
        for control in config[stage]["controls"].values():
            control |= small | {"num_blocks": 1}
    return config


def _build_tiny(config: dict):
    import torch

    from cosmos_exp.models.transfer1.model import WorldModel

    torch.manual_seed(0)
    model = WorldModel.build(config)
    for net in (model.single_view(), model.multi_view()):
        for parameter in net.parameters():  # training starts at zero outputs; these tests need some
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="session")
def tiny_model_folder(tiny_model, tmp_path_factory) -> Path:
    """The tiny model as a folder of weights files."""
    folder = tmp_path_factory.mktemp("tiny_model")
    tiny_model.save(folder)
    return folder


@pytest.fixture(scope="session")
def configure(tiny_model_folder):
    """A function that composes the main config for the tiny model: `configure("views=single")`."""
    from helpers.composing import Composer

    composer = Composer()
    return lambda *overrides: composer(f"model.weights={tiny_model_folder}", *overrides)


@pytest.fixture(scope="session")
def clip_root(tmp_path_factory) -> Path:
    """Folder with one RDS-HQ clip: a second and a half of a procedural street, seen by six cameras."""
    from cosmos_exp.scene.rds_hq.writer import write_clip

    root = tmp_path_factory.mktemp("rds_hq")
    write_clip(*_street(), root)
    return root


@pytest.fixture(scope="session")
def clipgt_root(tmp_path_factory) -> Path:
    """Folder with the folder of one ClipGT clip, of the same street."""
    from cosmos_exp.scene.clipgt.writer import write_clip

    root = tmp_path_factory.mktemp("clipgt")
    write_clip(*_street(), root)
    return root


def _street():
    import yaml

    from cosmos_exp.config.conf_folder import CONF
    from cosmos_exp.scene.procedural.street import procedural_scene
    from cosmos_exp.sensors.rigs import build_rig

    cameras = yaml.safe_load((CONF / "sensors" / "six_views.yaml").read_text())["cameras"]
    street = procedural_scene(seed=5, duration=1.5, num_vehicles=3, num_pedestrians=1)
    return street, build_rig("six_views", cameras, size=(640, 360))

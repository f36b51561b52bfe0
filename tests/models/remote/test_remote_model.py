"""A model of a server as a model of the pipeline: the same frames as in process, and crashes of the client."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import time
from pathlib import Path

import pytest
from helpers.forked import Forked
from helpers.served import Served, served
from helpers.sweep_at_work import with_model

from cosmos_exp.config.compose import compose
from cosmos_exp.config.validate import validate
from cosmos_exp.pipeline.api import run
from cosmos_exp.remote.wire import Status

SMALL = ("views=single", "model.num_frames=9", "sampler.num_steps=1", "scene.num_vehicles=2", "controls=hdmap")
QUIET = ("previews=none", "previews.controls=used", "metrics.names=[psnr]", "metrics.references=false")
SEEDS = (3, 4)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("remote")


@pytest.fixture(scope="module")
def nano(root: Path, tiny_model_folder: Path):
    """A server that wants a token, and knows nothing of what clients have computed."""
    with served(root / "server", "model=nano_fast", f"model.weights={tiny_model_folder}", "serve.auth=true") as server:
        yield server


def options(server: Served, outputs: Path) -> list[str]:
    return [
        *SMALL, *QUIET, "tracking=disabled", "model=remote", f"model.endpoint={server.url}", f"paths.outputs={outputs}",
    ]  # fmt: skip


def command(server: Served, *arguments: str) -> Forked:
    return Forked(*arguments, cwd=Path.cwd(), environment={**os.environ, "COSMOS_TOKEN": server.token})


def videos(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("single_view/*.mp4"))]


def attempts(server: Served) -> list[int]:
    """How often each of the server's jobs was begun."""
    with sqlite3.connect(server.state / "jobs.sqlite") as db:
        return [count for (count,) in db.execute("SELECT attempts FROM jobs")]


def test_a_sweep_through_a_server_gives_the_frames_of_the_model_in_process(
    nano: Served, root: Path, tiny_model_folder: Path
):
    """Two cells at the same time, on a client that computes nothing."""
    seeds = f"sampler.seed={','.join(map(str, SEEDS))}"
    cells = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "sweep_name=swept")
    sweep = command(nano, "-m", *options(nano, root / "client"), seeds, *cells)
    assert sweep.wait(400) == 0, sweep.stderr
    for seed in SEEDS:
        own = ["tracking=disabled", "model=nano_fast", f"model.weights={tiny_model_folder}", f"sampler.seed={seed}"]
        run([*SMALL, *QUIET, *own, f"paths.outputs={root}/own"], root / f"in_process_{seed}")
    by_server = videos(root / "client" / "sweeps" / "swept")
    assert by_server == [videos(root / f"in_process_{seed}")[0] for seed in SEEDS]
    assert len(set(by_server)) == len(SEEDS)
    assert attempts(nano) == [1, 1]


def test_the_same_request_is_computed_once(nano: Served, root: Path):
    again = command(nano, *options(nano, root / "other_client"), f"sampler.seed={SEEDS[0]}")
    assert again.wait(200) == 0, again.stderr
    assert attempts(nano) == [1, 1]
    assert videos(root / "other_client") == videos(root / f"in_process_{SEEDS[0]}")


def test_no_file_of_a_run_has_the_token(nano: Served, root: Path):
    secret = nano.token.split("_", 2)[2].encode()
    held = [path for path in (root / "other_client").rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert secret and held == []


def test_the_provenance_has_the_weights_of_the_server(nano: Served, root: Path):
    (record,) = (root / "other_client").rglob("provenance.json")
    checkpoints = nano.client().model("nano_fast").checkpoints
    assert len(checkpoints) > 5 and all(digest in record.read_text() for digest in checkpoints.values())


def test_a_server_that_is_away_and_was_never_asked_is_named(root: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    (error,) = validate(compose(["model=remote", f"model.endpoint={endpoint}", "views=single"]))
    assert error.startswith(f"model.endpoint: {endpoint} does not answer")
    assert error.endswith("what its models make was never asked for here")


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("gpu:8080", "needed is an address such as http://host:8080"),
        ("http://me:secret@gpu:8080", "model.endpoint has a secret in it"),
        ("http://gpu:8080/?token=secret", "model.endpoint has a secret in it"),
    ],
)
def test_an_endpoint_is_an_address_without_a_secret(endpoint: str, told: str):
    (error,) = validate(compose(["model=remote", f"model.endpoint='{endpoint}'", "views=single"]))
    assert told in error and "secret@" not in error and "=secret" not in error


def test_an_interrupted_client_finds_its_job_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed while its job runs, it comes back to the same job, which was never begun anew."""
    monkeypatch.setenv("PYTHONPATH", with_model(os.environ)["PYTHONPATH"])
    released = root / "released"
    models = ("model=waiting", "controls=hdmap", f"model.until={released}")
    with served(root / "waiting", *models) as server, server.client() as client:
        own = [*options(server, root / "killed"), "sampler.seed=7"]
        first = command(server, *own)
        _wait_until(lambda: [job.status for job in client.jobs()] == [Status.RUNNING])
        first.kill()
        first.wait()
        released.mkdir()
        (released / "all").touch()
        again = command(server, *own)
        assert again.wait(200) == 0, again.stderr
        assert attempts(server) == [1]


def test_a_run_outlives_its_server(root: Path, monkeypatch: pytest.MonkeyPatch):
    """The server is killed while the run's job is at work, and started again: the run has its result."""
    monkeypatch.setenv("PYTHONPATH", with_model(os.environ)["PYTHONPATH"])
    released = root / "released_later"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    given = ("model=waiting", "controls=hdmap", f"model.until={released}", f"serve.port={port}")
    with served(root / "killed_server", *given) as server, server.client() as client:
        run = command(server, *options(server, root / "outlives"), "sampler.seed=8")
        _wait_until(lambda: [job.status for job in client.jobs()] == [Status.RUNNING])
        server.stop(signal.SIGKILL)
    released.mkdir()
    (released / "all").touch()
    with served(root / "killed_server", *given) as server:
        assert run.wait(200) == 0, run.stderr
        assert len(attempts(server)) == 1  # it was the same job
    assert len(videos(root / "outlives")) == 1


def _wait_until(holds, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_gradio_request_cannot_carry_is_refused_by_name():
    asked = ["model.protocol=gradio", "model.backend=nano_fast", "model.fps=12", "sampler.sigma_min=0.01"]
    asked += ["controls.hdmap.weight_map.box=[0,0,1,0.5]", "captions.regions=[{prompt: a tram, box: [0, 0, 0.5, 1]}]"]
    told = validate(compose(["model=remote", "model.endpoint=http://127.0.0.1:1", "views=six", *asked]))
    for named in (
        "views of 6 cameras",
        "model.fps",
        "sampler.sigma_min",
        "controls.hdmap.weight_map",
        "captions.regions",
    ):
        assert any(error.startswith(f"{named}: a request to Gradio") for error in told), named

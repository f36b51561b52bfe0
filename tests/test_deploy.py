"""The image, the compose file and the SkyPilot task: their linters, and that they agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cosmos_exp.serving.config import settings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVER = COMPOSE["services"]["server"]
TASK = yaml.safe_load((DEPLOY / "sky.yaml").read_text())


def run(program: str, *arguments: str) -> None:
    """A program that was installed beside this Python, or is on the path; skipped where there is none."""
    path = shutil.which(str(Path(sys.executable).parent / program)) or shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run("hadolint", "deploy/Dockerfile")


def test_the_compose_file_follows_the_schema_of_the_compose_specification() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")


LOAD = """\
import sky
task = sky.Task.from_yaml("deploy/sky.yaml")
print({port for one in task.resources for port in one.ports}, task.service.readiness_path, len(task.resources))
"""


def test_skypilots_own_loader_takes_the_task() -> None:
    """SkyPilot has an environment of its own, whose `sky` is on the path."""
    command = shutil.which("sky")
    if command is None:
        pytest.skip("SkyPilot is not installed: no command sky")
    python = Path(command).resolve().with_name("python")
    done = subprocess.run([python, "-c", LOAD], capture_output=True, text=True, cwd=ROOT, env=without_ours())
    assert done.stdout.strip() == "{'8080'} /v1/health/ready 4", done.stdout + done.stderr


def without_ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_container_is_no_root_and_writes_to_its_volumes_alone() -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.M)
    assert user != "0" and f"--uid {user}" in DOCKERFILE
    assert DOCKERFILE.index("USER") > DOCKERFILE.rindex("RUN ")
    volumes = re.search(r'^VOLUME \["(\S+)", "(\S+)"\]$', DOCKERFILE, re.M).groups()
    named = re.findall(r"COSMOS_EXP_\w+=(\S+)", DOCKERFILE)
    mounted = [v["target"] if isinstance(v, dict) else v.split(":")[1] for v in SERVER["volumes"]]
    assert sorted(named) == sorted(volumes) == sorted(mounted)


def test_all_serve_on_the_port_that_they_publish_and_check() -> None:
    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.M) == ["8080"]
    assert '"serve.port=8080"' in DOCKERFILE and "http://127.0.0.1:8080/v1/health/ready" in DOCKERFILE
    (published,) = SERVER["ports"]
    assert published.endswith(":8080")
    assert TASK["resources"]["ports"] == 8080 and "serve.port=8080" in TASK["run"]


def test_what_the_install_script_reads_is_in_the_context_of_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert [name for name in kept if not (ROOT / name).exists()] == []
    packages = re.search(r"packages = \[(.*)\]", (ROOT / "pyproject.toml").read_text())[1]
    needed = [*re.findall(r'"(\w+)"', packages), "conf", "sweeps", "pyproject.toml", "constraints.txt", "README.md"]
    assert set(needed) <= set(kept)


@pytest.mark.parametrize("text", [DOCKERFILE, TASK["run"]], ids=["Dockerfile", "sky.yaml"])
def test_a_server_that_others_reach_asks_for_a_token(text: str) -> None:
    hosts = re.findall(r"serve\.host=([\w.]+)", text)
    assert hosts == ["0.0.0.0"]
    assert settings([f"serve.host={hosts[0]}"]).serve.asks_for_token


def test_the_install_script_is_what_make_runs_and_names_its_usage() -> None:
    assert "deploy/install.sh $(VENV)" in (ROOT / "Makefile").read_text()
    assert "deploy/install.sh /opt/cosmos-exp" in DOCKERFILE
    done = subprocess.run([DEPLOY / "install.sh"], capture_output=True, text=True)
    assert done.returncode != 0 and "usage: deploy/install.sh FOLDER" in done.stderr

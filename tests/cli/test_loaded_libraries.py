"""What commands load: a library of networks takes seconds, so only what computes with networks loads one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_NETWORKS = (
    "plan +experiment=quick",
    "controls --sensors ex/sensors.yaml -o controls --frames 1 scene.duration=1",
    "render rds-hq -i ex/clips -o videos --frames 0 --skip lidar --workers 1",
)
IN_TURN = """
import sys
from cosmos_exp.cli.main import main

for line in sys.argv[1:]:
    sys.argv = ["cosmos-exp", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, line
    print("loaded:", *sorted({"torch", "diffusers", "transformers", "wandb"} & set(sys.modules)))
"""


def test_commands_without_networks_load_none(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "cosmos_exp", "example", "ex"], cwd=tmp_path, check=True, capture_output=True)
    command = [sys.executable, "-c", IN_TURN, *WITHOUT_NETWORKS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    loaded = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    assert loaded == ["loaded:"] * len(WITHOUT_NETWORKS), done.stderr

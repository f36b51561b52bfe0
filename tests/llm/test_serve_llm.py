"""`cosmos-exp serve-llm` and llm=vllm from their start to their end, with a stand-in for vLLM that starts at once;
test_real_vllm.py does the same with vLLM itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cosmos_exp.cli.commands import serve_llm
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.processes import is_alive
from cosmos_exp.llm import vllm_server
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.types import ChatRequest, Message
from cosmos_exp.llm.vllm_server import Launch, VllmServer

TESTS = Path(__file__).resolve().parents[1]
HELLO = ChatRequest((Message("user", "Hello."),))


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a model, where `vllm` is the stand-in."""
    found = [str(TESTS / "helpers" / "stand_in_vllm"), str(TESTS), str(TESTS.parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(found))
    monkeypatch.setenv("COSMOS_EXP_VLLM", sys.executable)
    monkeypatch.chdir(tmp_path)
    vllm_server._has_vllm.cache_clear()
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def until(found: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Command:
    """`cosmos-exp serve-llm ARGUMENTS`, in a process; said: what it has printed."""

    def __init__(self, *arguments: str):
        code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        code += "from cosmos_exp.cli.main import main; main()"
        self.output = Path("output.txt")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, "serve-llm", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def url(self) -> str:
        until(lambda: "Ctrl-C stops" in self.said or self.process.poll() is not None)
        assert "listens on" in self.said, self.said
        return re.findall(r"listens on (\S+)", self.said)[0]


@pytest.fixture
def command() -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        started.append(Command(*arguments))
        return started[-1]

    yield start
    for found in started:
        found.process.terminate()
        found.process.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_server_says_where_it_listens_answers_and_ends_with_all_its_processes(command, how: int) -> None:
    server = command("tiny", "--port", "0", "--", "--engine", "engine.txt")
    url = server.url()
    assert f"llm=endpoint llm.endpoint={url} llm.model=tiny" in server.said
    endpoint = Path("outputs/llm/tiny/endpoint.json")
    assert json.loads(endpoint.read_text())["url"] == url
    assert OpenAIChat(LLMConfig(name="endpoint", model="tiny", endpoint=url)).complete(HELLO).text
    engine = int(Path("engine.txt").read_text())
    assert is_alive(engine)
    os.kill(server.process.pid, how)
    assert server.process.wait() == (0 if how != signal.SIGKILL else -how)
    until(lambda: not is_alive(engine))
    assert how == signal.SIGKILL or ("stopping vLLM" in server.said and not endpoint.exists())


def test_a_server_can_be_stopped_while_it_starts(command) -> None:
    server = command("tiny", "--port", "0", "--", "--slow", "600")
    until(lambda: "its log" in server.said)
    log = Path("outputs/llm/tiny/vllm.log")
    until(lambda: log.exists() and "loading tiny" in log.read_text())
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait() == 0 and "listens" not in server.said


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("RuntimeError: operator torchvision::nms does not exist", "this torchvision is built for CUDA"),
        ("torch.OutOfMemoryError: CUDA out of memory", "not enough memory"),
        ("RuntimeError: CPU Generator does not use offset", "on CPUs seeds need --no-enable-chunked-prefill"),
        ("unrecognized arguments: --max-modle-len", "exit code 1"),
    ],
)
def test_why_vllm_does_not_start_is_told_with_the_end_of_its_log(words: str, meaning: str, tmp_path: Path) -> None:
    launch = Launch(Path(sys.executable), "tiny", "tiny", options=["--fail-with", words])
    server = VllmServer(launch, tmp_path / "vllm.log")
    with pytest.raises(UserError) as error:
        server.wait_until_ready(print, 60.0)
    assert str(error.value).startswith("vLLM has ended with exit code 1\n") and words in str(error.value)
    assert meaning in str(error.value) and f"whole log: {tmp_path / 'vllm.log'}" in str(error.value)


def test_a_server_that_does_not_listen_in_time_is_stopped_and_what_it_does_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_server, "BETWEEN_LINES", 0.0)
    log = tmp_path / "vllm.log"
    server = VllmServer(Launch(Path(sys.executable), "tiny", "tiny", options=["--slow", "600"]), log)
    until(lambda: "loading tiny" in log.read_text())
    said: list[str] = []
    with pytest.raises(UserError, match=r"vLLM has not begun to listen within 5 s\nINFO loading tiny"):
        server.wait_until_ready(said.append, 5.0)
    assert said[0].startswith("vLLM has been starting for ") and said[0].endswith(" s: INFO loading tiny")
    with pytest.raises(UserError, match="vLLM has ended"):
        server.check()


def test_the_death_of_a_running_server_is_one_message(command) -> None:
    server = command("tiny", "--port", "0", "--", "--die-after", "0.5")
    assert server.process.wait() == 2
    assert "cosmos-exp: vLLM has ended with exit code 1" in server.said
    assert "RuntimeError: Engine core died" in server.said and "Traceback" not in server.said


def test_a_folder_of_state_is_of_one_server_and_a_port_too(command) -> None:
    url = command("tiny", "--port", "0").url()
    with pytest.raises(UserError, match="another server has the folder outputs/llm/tiny"):
        serve_llm.main(["tiny", "--port", "0"])
    port = url.split(":")[2].removesuffix("/v1")
    with pytest.raises(UserError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use"):
        serve_llm.main(["tiny", "--port", port, "--state", "other"])


def test_other_machines_need_a_key(command, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"other machines reach 0\.0\.0\.0: set COSMOS_EXP_LLM_KEY"):
        serve_llm.main(["tiny", "--host", "0.0.0.0"])
    monkeypatch.setenv("COSMOS_EXP_LLM_KEY", "sk-secret")
    server = command("tiny", "--host", "0.0.0.0", "--port", "0")
    assert not server.url().startswith(("http://0.0.0.0", "http://127.")) and "sk-secret" not in server.said
    arguments = subprocess.run(["ps", "-e", "-o", "args"], capture_output=True, text=True).stdout
    assert "sk-secret" not in arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing/at/all"], "model 'nothing/at/all': there is no such folder"),
        (["tiny", "--max-model-len", "9"], "unknown option of cosmos-exp serve-llm '--max-model-len'"),
        (["tiny", "surplus"], "surplus argument 'surplus'; options of vLLM stand after --"),
        (["tiny", "--port", "70000"], "--port 70000: must be 1 to 65535"),
        (["tiny", "--start-timeout", "0"], "--start-timeout 0: must be above 0"),
        (["tiny", "--python", "/no/python"], "'/no/python': there is no such program"),
        (["tiny", "--", "--host", "x"], "option '--host' of vLLM: give it to this command"),
        (["tiny", "hydra/launcher=local"], "or as a job with hydra/launcher=slurm"),
        (["tiny", "hydra/launcher=slurm", "hydra.launcher.signal_delay_s=5"], "signal_delay_s=5: must be more than"),
        (["tiny", "hydra/launcher=slurm", "--gpus", "-1"], "--gpus -1: must be 0 or more"),
        (["tiny", "hydra/launcher=slurm"], "other machines reach 0.0.0.0"),
    ],
)
def test_mistakes_are_told_before_anything_starts(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        serve_llm.main(arguments)
    assert message in str(error.value)


ASKS_ITS_OWN = """
from cosmos_exp.common.errors import UserError
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.models import chat_model
from cosmos_exp.llm.types import ChatRequest, Message

config = LLMConfig(name="vllm", model="tiny", options=["--engine", "engine.txt"], retries=1)
for _ in range(2):
    print(chat_model(config).complete(ChatRequest((Message("user", "Hello."),))).text)
try:
    chat_model(LLMConfig(name="vllm", model="tiny", options=["--fail-with", "no memory"])).complete(None)
except UserError as error:
    print(error)
"""


def test_a_run_starts_its_own_server_once_and_takes_it_along() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS_ITS_OWN], capture_output=True, text=True)
    first, second, *error = done.stdout.splitlines()
    assert first == second == "A red car drives by night.", done.stderr
    assert error[0] == "vLLM has ended with exit code 1" and "no memory" in error
    assert not is_alive(int(Path("engine.txt").read_text()))

"""In PYTHONPATH, as much of vLLM as `cosmos-exp serve-llm` sees of it: arguments, a server, a process of its own that
outlives SIGTERM, ends of all kinds."""

import argparse
import subprocess
import sys
import threading
import time

from helpers.chat_server import ChatServer

parser = argparse.ArgumentParser()
for name in ("--model", "--served-model-name", "--host", "--port", "--fail-with", "--engine"):
    parser.add_argument(name)
for name in ("--slow", "--die-after"):
    parser.add_argument(name, type=float, default=0.0)
given = parser.parse_args()
print("INFO loading", given.model, flush=True)
time.sleep(given.slow)
if given.fail_with:
    sys.exit(given.fail_with)
if given.engine:
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    engine = subprocess.Popen([sys.executable, "-c", ignoring])
    with open(given.engine, "w") as file:
        file.write(str(engine.pid))
with ChatServer(host=given.host, port=int(given.port), model=given.served_model_name):
    threading.Event().wait(given.die_after or None)
    sys.exit("RuntimeError: Engine core died")

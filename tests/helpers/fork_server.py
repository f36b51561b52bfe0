"""A process that has loaded what runs load, and forks the commands of tests: `helpers.forked` asks it to.

Started as `python -m helpers.fork_server SOCKET MODULE ...`, with the file descriptor of a socket. Each message has the
descriptors of a socket of its own, over which the command is described in JSON and its process id and wait status come
back, and of the command's stdin, stdout and stderr.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from typing import TextIO


def next_command(asked: socket.socket) -> list[str] | None:
    """Returns in the process of each command, with its arguments; None in the server, once nobody asks any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers leave no zombies
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, 1, 4)
        if not message:
            return None
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        asked.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with socket.socket(fileno=descriptors[0]) as own:
            lines = own.makefile()
            command = json.loads(lines.readline())
            if pid := os.fork():
                keep(pid, own, lines)
        become(command, descriptors[1:])
        return command["arguments"]


def keep(pid: int, told: socket.socket, asked: TextIO) -> None:
    """The parent of a command: tells its process id, that it has ended, and how; it is a zombie until that is asked."""
    told.sendall(f"{pid}\n".encode())
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    told.sendall(b"ended\n")
    asked.readline()
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        told.sendall(f"{status}\n".encode())
    os._exit(0)


def become(command: dict, descriptors: list[int]) -> None:
    """Give this process what a new one would have."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["environment"])
    known = set(sys.path)
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in known]
    sys.path[:1] = [command["cwd"], *own]  # the first one was the server's working folder


def main() -> None:
    gc.disable()
    for name in sys.argv[2:]:
        import_module(name)
    gc.freeze()
    gc.enable()
    arguments = next_command(socket.socket(fileno=int(sys.argv[1])))
    if arguments is not None:
        sys.argv[1:] = arguments
        runpy.run_module("cosmos_exp", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

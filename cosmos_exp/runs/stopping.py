"""A request to end the run at work, heeded between two steps of its stages; what they have made stays in the cache.

Slurm's warning before a time limit or a preemption (SIGUSR2, SIGTERM) is such a request, `cosmos-exp cancel` another.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from cosmos_exp.runs.states import PREEMPTED

SIGNALS = (signal.SIGUSR2, signal.SIGTERM)

AGAIN = 1.0
"""Seconds after which a KeyboardInterrupt that nothing handles any more is raised again."""

_request: tuple[str, str] | None = None
_interrupted = False


class Stopped(BaseException):
    """Ends a run that was asked to stop; no Exception, so that nothing on the way takes it for a failure.

    state: what the run becomes, preempted or cancelled.
    """

    def __init__(self, state: str, reason: str):
        super().__init__(reason)
        self.state = state


def request(state: str, reason: str) -> None:
    """Ask the run of this process to stop; the first request stands."""
    global _request
    _request = _request or (state, reason)


def asked() -> Stopped | None:
    """What ends the run of this process; None where nobody asked it to stop."""
    return Stopped(*_request) if _request else None


def forget() -> None:
    """Take the request back, for the next run of this process."""
    global _request, _interrupted
    _request, _interrupted = None, False
    landed()


def interrupted() -> bool:
    """Whether the user pressed Ctrl-C. C code that Python calls may turn the KeyboardInterrupt into its own error."""
    return _interrupted


def heed() -> None:
    """Raise Stopped where a stop was requested, and KeyboardInterrupt again where one was lost."""
    if interrupted():
        raise KeyboardInterrupt
    if stop := asked():
        raise stop


def listen() -> None:
    """Treat SIGUSR2 and SIGTERM as preemption, and note SIGINT. Only the main thread may call it."""
    global _interrupted
    _interrupted = False
    for number in SIGNALS:
        signal.signal(number, _on_signal)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in the background of a shell
        signal.signal(signal.SIGINT, _on_interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SIGNALS, signal.SIGINT))


def _on_signal(number: int, frame: FrameType | None) -> None:
    request(PREEMPTED, f"preempted by a signal ({signal.Signals(number).name})")


def landed() -> None:
    """The KeyboardInterrupt has come to where it is dealt with: it is not raised again."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not into the handling of one. A callback of C code, such as a compiler's, swallows
    it, so it comes again until it has landed."""
    global _interrupted
    _interrupted = True
    signal.signal(signal.SIGALRM, _on_interrupt)
    signal.setitimer(signal.ITIMER_REAL, AGAIN)
    if not came_of_interrupt(sys.exc_info()[1]):
        raise KeyboardInterrupt


def came_of_interrupt(error: BaseException | None) -> bool:
    """Whether an exception is a KeyboardInterrupt, or an error that code has made of one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None

"""Many requests at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import TypeVar

from cosmos_exp.common.progress import Tick
from cosmos_exp.llm.types import BadAnswer, ChatAnswer, ChatModel, ChatRequest

Item = TypeVar("Item")
Result = TypeVar("Result")


def complete_all(
    model: ChatModel, requests: Sequence[ChatRequest], concurrency: int, tick: Tick = lambda done, total: None
) -> list[ChatAnswer | BadAnswer]:
    """The answers in the order of the requests, `concurrency` at the same time. Raises UserError at once where nobody
    answers one."""
    answers: dict[int, ChatAnswer | BadAnswer] = {}
    for number, answer in in_parallel(lambda request: _answer(model, request), requests, concurrency):
        answers[number] = answer
        tick(len(answers), len(requests))
    return [answers[number] for number in range(len(requests))]


def _answer(model: ChatModel, request: ChatRequest) -> ChatAnswer | BadAnswer:
    try:
        return model.complete(request)
    except BadAnswer as bad:
        return bad


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[tuple[int, Result]]:
    """(number of the item, what `work` makes of it) as each is done.

    Items are taken when a thread is free. What is raised for one is raised here, and no further one is begun. Who stops
    to read, or is interrupted, does not wait for those under way: the process ends without them.
    """
    numbered, taking, stop = enumerate(items), threading.Lock(), threading.Event()
    done: SimpleQueue[tuple[int, Result] | BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            while not stop.is_set():
                with taking:
                    number, item = next(numbered)
                done.put((number, work(item)))
        except StopIteration:
            done.put(None)
        except BaseException as error:
            done.put(error)

    for _ in range(threads):
        threading.Thread(target=run, daemon=True).start()
    running = threads
    try:
        while running:
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                running -= 1
            else:
                yield found
    finally:
        stop.set()

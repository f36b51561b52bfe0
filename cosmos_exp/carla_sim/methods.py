"""The client's remote calls by name: the table of methods, and how their results and errors are answered."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from cosmos_exp.carla_sim.simulation import Simulation

logger = logging.getLogger(__name__)

METHODS: dict[str, Callable[..., Any]] = {}
VOID: set[str] = set()  # methods without a result
BARE: set[str] = set()  # methods whose result is not wrapped


class Refused(Exception):
    """A call that cannot be done; the client raises RuntimeError with the message."""


def method(*, void: bool = False, bare: bool = False) -> Callable[[Callable], Callable]:
    """Register a function (simulation, *arguments) under its name."""

    def register(function: Callable) -> Callable:
        METHODS[function.__name__] = function
        if void:
            VOID.add(function.__name__)
        if bare:
            BARE.add(function.__name__)
        return function

    return register


@functools.cache
def _arity(function: Callable) -> tuple[int, int]:
    """Least and most arguments after the simulation."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return sum(p.default is p.empty for p in parameters), len(parameters)


@functools.cache
def _unknown(name: str) -> None:
    """Once for each: clients do not wait for the answer of most calls, and would never know."""
    logger.warning("a client called %s(), which the embedded server does not have: it has no effect", name[:60])


def actor_of(sim: Simulation, number: int) -> Actor:
    """The actor of an id. Raises Refused where there is none."""
    actor = sim.world.actor(number)
    if actor is None:
        raise Refused(f"there is no actor {number}: it was destroyed, or never spawned")
    return actor


def success(name: str, value: Any) -> Any:
    if name in BARE:
        return value
    return [[False]] if name in VOID else [[1, value]]


def failure(name: str, message: str) -> Any:
    return [[True, [message]]] if name in VOID else [[0, [message]]]


def call(simulation: Simulation, name: str, params: list) -> Any:
    """The response to a call: a value, or an awaitable of one. params: [[async]], then the arguments."""
    function = METHODS.get(name)
    if function is None:
        _unknown(name)
        return failure(name, f"the embedded server has no {name}()")
    arguments = params[1:] if params and isinstance(params[0], list) else params
    needed, most = _arity(function)
    if not needed <= len(arguments) <= most:
        return failure(name, f"{name}() takes {most} arguments, not {len(arguments)}")
    try:
        value = function(simulation, *arguments)
    except Exception as error:
        return failure(name, error_message(name, error))
    if isinstance(value, Awaitable):
        return _awaited(name, value)
    return success(name, value)


async def _awaited(name: str, value: Awaitable) -> Any:
    try:
        return success(name, await value)
    except Exception as error:
        return failure(name, error_message(name, error))


def error_message(name: str, error: Exception) -> str:
    if isinstance(error, (Refused, UserError)):
        return str(error)
    if isinstance(error, (TypeError, ValueError, IndexError, KeyError)):
        return f"{name}(): arguments of another form than those of CARLA ({type(error).__name__}: {error})"
    logger.error("%s() failed", name, exc_info=error)
    return f"{name}() failed in the embedded server: {type(error).__name__}: {error}"

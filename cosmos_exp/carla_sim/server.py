"""The embedded server: its sockets, and the connections of clients to a simulation."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from cosmos_exp.carla_sim import methods, methods_actors, methods_world, traffic_methods  # noqa: F401  # fill its table
from cosmos_exp.carla_sim.msgpack_rpc import RpcConnection
from cosmos_exp.carla_sim.simulation import ServerOptions, Simulation
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.warmup import warm_up

TRIES = 50


async def serve(options: ServerOptions, ready: Callable[[int], None]) -> None:
    """Run a server until it is cancelled. ready: called with the port once clients can connect.

    Raises UserError where the map cannot be read or a port is taken.
    """
    rpc_socket, stream_socket = _listen(options.host, options.port)
    try:
        simulation = Simulation(options)
        await asyncio.get_running_loop().run_in_executor(
            simulation.measuring.builder, warm_up, lambda done, total: None
        )
    except BaseException:
        rpc_socket.close()
        stream_socket.close()
        raise

    async def rpc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RpcConnection(reader, writer, lambda name, params: methods.call(simulation, name, params))
        simulation.clients.add(connection)
        simulation.wake()
        try:
            await connection.serve()
        finally:
            simulation.clients.discard(connection)

    port, simulation.streams.port = (listening.getsockname()[1] for listening in (rpc_socket, stream_socket))
    server = await asyncio.start_server(rpc, sock=rpc_socket)
    streams = asyncio.ensure_future(simulation.streams.serve(stream_socket))
    ready(port)
    try:
        await simulation.run()
    finally:
        server.close()
        streams.cancel()
        stream_socket.close()
        await simulation.close()


def _listen(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Sockets that listen on a port and the one after it; port 0: any two free ones."""
    for _ in range(TRIES if port == 0 else 1):
        first = _bind(host, port)
        try:
            return first, _bind(host, first.getsockname()[1] + 1)
        except UserError:
            first.close()
            if port:
                raise
    raise UserError(f"no two free ports in a row were found on {host}")


def _bind(host: str, port: int) -> socket.socket:
    try:
        found = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OverflowError:
        raise UserError(f"port {port}: 1 to 65534, or 0 for any") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"cannot listen on {host}:{port}: {why.partition(' (')[0]}") from None
    found.setblocking(False)
    return found

"""`cosmos-exp carla-sim`: the embedded CARLA server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError


def command_line() -> Parser:
    parser = Parser(
        "carla-sim",
        "A CARLA server without CARLA, for the client of `pip install carla==0.9.16`: maps, actors, replays, and "
        "sensors drawn by our renderer. It simulates geometry, not physics. It has no password: whoever can connect to "
        "--host may use it.",
    )
    parser.add_argument("--port", type=int, default=2000, help="default 2000; the streams take the next one; 0: any")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, default 127.0.0.1")
    parser.add_argument("--map", metavar="X.xodr|NAME", help="the map to begin with; a name is one of --maps")
    parser.add_argument("--maps", metavar="DIR", type=Path, help="folder of OpenDRIVE maps that clients may load")
    parser.add_argument("--log", metavar="LOG", type=Path, help="a recorder log that clients may replay")
    parser.add_argument("--recordings", metavar="DIR", type=Path, help="folder that clients record to and replay from")
    parser.add_argument("--client", metavar="VERSION", default="0.9.16", help="version of the clients, default 0.9.16")
    parser.add_argument(
        "--patience", metavar="SECONDS", type=float, default=30.0,
        help="that a client may leave images unread, which holds up the ticks, until it is cut off; default 30",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    given = command_line().parse(arguments)
    try:
        import msgpack  # noqa: F401
    except ImportError:
        raise UserError("carla-sim needs msgpack: pip install 'cosmos-exp[carla]'") from None
    from cosmos_exp.carla_sim.process import LISTENING
    from cosmos_exp.carla_sim.server import ServerOptions, serve

    logging.basicConfig(level=logging.INFO, format="carla-sim: %(message)s")
    is_file = given.map is not None and given.map.endswith(".xodr")
    options = ServerOptions(
        maps=[Path(given.map)] if is_file else [],
        folders=[given.maps] if given.maps else [],
        town=given.map or "",
        host=given.host,
        port=given.port,
        recordings=given.recordings,
        logs=[given.log] if given.log else [],
        version=given.client,
        patience=given.patience,
    )
    asyncio.run(serve(options, lambda port: print(f"{LISTENING} {given.host}:{port}", flush=True)))
    return 0

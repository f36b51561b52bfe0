"""`cosmos-exp serve [OVERRIDE ...]`: a server of the job API; `cosmos-exp serve token`: who may use it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from cosmos_exp.serving.service import Service
    from cosmos_exp.serving.tokens import TokenStore

ACTIONS = ("add", "list", "revoke")


def command_line() -> Parser:
    parser = Parser(
        "serve",
        "A server that generates videos for others: the job API below /v1, and a page. It is configured as a run is, "
        "and by serve.KEY: `cosmos-exp serve model=nano serve.port=8081 hardware=gpu`. Beyond this machine "
        "(serve.host=0.0.0.0) it asks for a token; see `cosmos-exp serve token --help`. Ctrl-C or SIGTERM stop it, and "
        "jobs that run go on when it is started again.",
    )
    parser.add_argument(
        "overrides",
        metavar="OVERRIDE",
        nargs="*",
        help="of a run's config, and serve.KEY=VALUE; "
        "with hydra/launcher=slurm and hydra.launcher.KEY=VALUE it runs as a Slurm job",
    )
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="a folder of options of your own")
    return parser


def token_command_line() -> Parser:
    parser = Parser(
        "serve token",
        "Who may use a server. A new token is printed once; the server keeps only its SHA-256. A change counts at "
        "once, also for a server that runs.",
    )
    parser.choice("action", ACTIONS, "add [NAME]; list; revoke ID|NAME")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="whose it is; of revoke: or its id")
    parser.add_argument(
        "--state", metavar="FOLDER", type=Path, help="the server's state folder, default: serve.state of the config"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "token":
        return _token(arguments[1:])
    given = command_line().parse(arguments)
    from cosmos_exp.serving.extra import require_extra

    require_extra()
    from cosmos_exp.sweeps import server_job

    if server_job.asks_for_launcher(given.overrides):
        return server_job.launch(given.overrides, given.config_dir)
    from cosmos_exp.serving.config import settings
    from cosmos_exp.serving.server import serve

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("cosmos_exp.serving").setLevel(logging.INFO)
    own = [f"hydra.searchpath=['file://{given.config_dir.resolve()}']"] if given.config_dir else []
    serve(settings(given.overrides, config_dir=given.config_dir), [*given.overrides, *own], _ready)
    return 0


def _ready(endpoint: str, service: Service) -> None:
    print(f"serving {service.config.model.name} on {endpoint}")
    print(f"page: {endpoint}/; description of the API: {endpoint}/docs")
    if service.serve.asks_for_token:
        print(f"token: {', or '.join(service.tokens.places())}")
        print(f"clients have it in COSMOS_TOKEN, or in a file that COSMOS_TOKEN_FILE names; the page: {endpoint}/login")
    else:
        print("no token is asked for: only this machine can connect, or serve.auth=false was given")
    print(f"state: {service.state.absolute()}; Ctrl-C stops", flush=True)


def _token(arguments: Sequence[str]) -> int:
    given = token_command_line().parse(arguments)
    if given.action == "list" and given.name:
        raise UserError(f"surplus argument {given.name!r}; list has none")
    if given.action == "revoke" and not given.name:
        raise UserError("revoke: give the id or the name of a token; `cosmos-exp serve token list` shows them")
    tokens = _tokens(given.state)
    if given.action == "add":
        print(tokens.add(given.name))
    elif given.action == "revoke":
        print(f"revoked {tokens.revoke(given.name).id}")
    else:
        for token in tokens.tokens():
            made = datetime.fromtimestamp(token.created, timezone.utc).isoformat(timespec="seconds")
            print(f"{token.id}  {made}  {token.name}")
    return 0


def _tokens(state: Path | None) -> TokenStore:
    from cosmos_exp.serving.config import settings
    from cosmos_exp.serving.tokens import TokenStore

    folder = state or Path(settings().serve.state)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"--state {str(folder)!r}: {error.strerror}") from None
    return TokenStore(folder)

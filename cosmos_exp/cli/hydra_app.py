"""Runs a Hydra application so that every mistake of the user ends in one message instead of a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.hydra_internals import EXPLAINED, HydraBypassError, explain
from cosmos_exp.config.option_files import check_option_files, own_folders
from cosmos_exp.sweeps.callbacks import release, report_failed_sweep
from cosmos_exp.sweeps.expand import MULTIRUN, sweep_over_all

FULL_ERROR = "HYDRA_FULL_ERROR"


def run_app(load: Callable[[], Callable[[], None]], arguments: list[str], config: type | None = None) -> int:
    """Run the application that `load` imports, on these command line arguments. Returns the exit status.

    config: type of the application's config, by default of the main job.

    Raises UserError for the mistakes of a user, so that the caller prints one message; with HYDRA_FULL_ERROR=1 the
    original traceback is printed as well.
    """
    given, argv = os.environ.get(FULL_ERROR), sys.argv
    wants_traceback = given == "1"
    os.environ[FULL_ERROR] = "1"  # makes Hydra raise instead of printing and exiting
    arguments = sweep_over_all(arguments)
    flags = [argument for argument in arguments if argument in MULTIRUN]  # Hydra takes them only before overrides
    sys.argv = [sys.argv[0], *flags, *(argument for argument in arguments if argument not in MULTIRUN)]
    folders = own_folders(arguments)
    try:
        check_option_files(folders, arguments)
        load()()
    except HydraBypassError as carried:
        _fail(carried.error, wants_traceback, config, folders)
    except EXPLAINED as error:
        _fail(error, wants_traceback, config, folders)
    except ValueError as error:
        if not isinstance(error.__cause__, OSError):  # of logging, where the run's log cannot be written
            raise
        _fail(error.__cause__, wants_traceback, config, folders)
    finally:
        release()
        sys.argv = argv
        if given is None:
            os.environ.pop(FULL_ERROR, None)
        else:
            os.environ[FULL_ERROR] = given
    return 0


def _fail(error: Exception, wants_traceback: bool, config: type | None, folders: Sequence[Path]) -> NoReturn:
    message = explain(error, config, folders)
    if wants_traceback or message is None:
        traceback.print_exception(error)
    report = report_failed_sweep()
    raise UserError("\n".join(filter(None, (message or str(error), report)))) from error

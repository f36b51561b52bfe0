"""Parquet files of others: opened with bounds, and read so that damage is a UserError that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import MIB

MOST_ROWS = 5_000_000  # of a table
HEADER_BYTES, HEADER_ITEMS = 64 * MIB, 1_000_000  # of what describes a table


def import_pyarrow(name: str, extra: str) -> None:
    """UserError where there is no pyarrow. name: of the file. extra: of this package, to install then."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UserError(f"{name} is a parquet file, which needs pyarrow: install cosmos-exp[{extra}]") from None


def open_parquet(path: Path, extra: str) -> Any:
    """A `pyarrow.parquet.ParquetFile`. extra: as of `import_pyarrow`."""
    import_pyarrow(path.name, extra)
    import pyarrow
    from pyarrow import parquet

    try:
        limits = {"thrift_string_size_limit": HEADER_BYTES, "thrift_container_size_limit": HEADER_ITEMS}
        file = parquet.ParquetFile(path, **limits)
    except FileNotFoundError:
        raise UserError(f"no such table: {path}") from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is no parquet file: {error}") from None
    if not 0 <= file.metadata.num_rows <= MOST_ROWS:
        raise UserError(f"{path} has {file.metadata.num_rows} rows: at most {MOST_ROWS} are read")
    return file


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What pyarrow raises while the file is read is a UserError."""
    import pyarrow

    try:
        yield
    except UserError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from None

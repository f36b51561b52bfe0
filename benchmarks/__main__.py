"""The benchmarks: python -m benchmarks runs those that need no GPU, one table after the other; --help lists all.

python -m benchmarks NAME... runs some; options of one go to it alone, as in python -m benchmarks.fuzz --minutes 1.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.common.errors import unknown_name

OF_THE_CPU = ("render", "controls", "rds_hq", "network", "demo", "sweep")


def benchmarks() -> dict[str, str]:
    """{name: what it measures} of the modules here that have a `main`. Nothing is imported."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in module.body):
            found[path.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    known = benchmarks()
    listed = "\n".join(f"  {name:12} {what}" for name, what in known.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Without a name: {', '.join(OF_THE_CPU)}, which need no GPU and some minutes each.",
        epilog=f"{listed}\n\npython -m benchmarks.NAME --help has the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run")
    names = parser.parse_args(arguments).names
    for name in names:
        if name not in known:
            parser.error(unknown_name("benchmark", name, known))
    failed = 0
    for name in names or OF_THE_CPU:
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        print()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

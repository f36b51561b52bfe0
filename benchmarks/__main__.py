"""The benchmarks of a machine without a GPU, one table after the other: python -m benchmarks

By themselves stand full_size, memory and dry_run, which need a GPU, quality, which takes long, and precision, which
needs golden tensors.
"""

from __future__ import annotations

from benchmarks import controls, demo, network, rds_hq, render, sweep


def main() -> None:
    for benchmark in (render, controls, rds_hq, network, demo, sweep):
        benchmark.main()
        print()


if __name__ == "__main__":
    main()

"""Every benchmark, one table after the other: python -m benchmarks"""

from __future__ import annotations

from benchmarks import demo, network, rds_hq, render, sweep


def main() -> None:
    for benchmark in (render, rds_hq, network, demo, sweep):
        benchmark.main()
        print()


if __name__ == "__main__":
    main()

"""Every benchmark, one table after the other: python -m benchmarks"""

from __future__ import annotations

from benchmarks import demo, network, render


def main() -> None:
    for benchmark in (render, network, demo):
        benchmark.main()
        print()


if __name__ == "__main__":
    main()

"""The sweeper of our sweeps: Hydra's grid, whose cells the callback `SweepReport` has composed and checked."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_exp.config.hydra_internals import BasicSweeper


class GridSweeper(BasicSweeper):
    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """They are: Hydra would compose every cell once more to see that."""

"""Weights files: strict loading and saving, safe reading of pickled checkpoints, conversion of the released ones, and a
table of the released models. Imports `models.contract` and the networks of `models.transfer1`."""

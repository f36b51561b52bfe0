"""The Hydra tree of `pkg://cosmos_exp.conf`: a folder per group, `config.yaml` for a run, `train.yaml` for training.

Importing it makes the types of all groups known to Hydra, so that its own compose API works on the tree:
`initialize_config_module("cosmos_exp.conf")`.
"""

from cosmos_exp.config import schema

schema.register()

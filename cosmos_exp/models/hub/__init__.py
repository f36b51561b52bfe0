"""The released checkpoints on the Hugging Face Hub: which files each model needs (`models`), and their download through
huggingface_hub, with sizes, disk space and access looked at before and checksums after (`download`). The package may
import only cosmos_exp.common.
"""

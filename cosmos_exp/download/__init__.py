"""Released checkpoints, from a Hugging Face Hub into a folder: what each model needs, the transfer, the check."""

"""Run folders shown to people: `wandb` logs them to Weights & Biases, `comparison` writes the page and the pictures
that compare the cells of a sweep. Both read what lies on disk. It may import all packages up to `runs`."""

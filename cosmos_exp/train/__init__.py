"""Training of the nano model: rendering of training clips, the tokenizer, the diffusion networks and held-out
evaluation. Imports everything up to `models`; only `verify`, `visualization` and `cli` may import it."""

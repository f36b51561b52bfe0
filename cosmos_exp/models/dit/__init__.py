"""What the diffusion transformers of all model families have in common: blocks, position embeddings, patches, control
residuals, and how a clip is evaluated: guidance passes, step cache, offloading, several GPUs."""

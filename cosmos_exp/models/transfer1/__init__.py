"""Cosmos-Transfer1: diffusion transformer with control branches, tokenizer, text encoder, EDM denoiser, guidance, and
sampling of single and multi view clips on one or several devices. Imports `models.contract`, `models.kernels`,
`sampling`, `controls` and earlier packages, and the weights files' readers of `models.checkpoints`."""

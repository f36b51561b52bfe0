"""Comparison with reference data: golden tensors of the networks and the sampler, golden pictures and numbers of the
renderer. Imports every package up to `models`; only the command line imports it."""

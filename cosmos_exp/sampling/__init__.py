"""Sampling independent of any network: the RES solver, its parameters and noise levels, chunks of a long video, and the
normalization of control weights. Imports `common` only; torch only in `res_sampler`."""

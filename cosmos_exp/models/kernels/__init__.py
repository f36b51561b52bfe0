"""Attention kernels, 8-bit linear layers and fused element-wise operations, and the options that select them. Knows no
network: imports `common` only."""

"""Cosmos-Transfer2.5: the networks of auto/multiview and of its single-view relatives, their sampling, and the model
family `transfer25`."""

"""The family `cosmos3`: Cosmos3-Nano-Transfer-Auto on a server of others, as a model of the pipeline."""

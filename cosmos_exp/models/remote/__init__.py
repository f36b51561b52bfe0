"""The family `remote`: a model of a server, as a model of the pipeline."""

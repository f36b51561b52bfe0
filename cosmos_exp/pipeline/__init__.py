"""One run from a config to a run folder: the declared list of stages (`stages`), what they share (`context`), their
cached results, provenance, and a run made again (`reproduce`) or scored again (`evaluate`). It may import all
packages up to `config`."""

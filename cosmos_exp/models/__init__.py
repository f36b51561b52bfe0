"""World models: `contract` says what a model can generate, `kernels` holds attention and 8-bit layers, `transfer1` the
networks of Cosmos-Transfer1, `checkpoints` their weights files, `hub` the download. Imports `sampling`, `controls`,
`rendering`, `scene`, `sensors` and `common`; never `config`, `pipeline` or anything later."""

"""Best of N: which of several candidates of a clip is kept. The measures that choose, their rule, and questions to a
vision-language model. Knows nothing of the pipeline."""

"""Guards of texts and videos. Every error of a guard is a stop, never a pass. Imports `common` and `llm`."""

"""Language models behind one interface: a client of OpenAI-compatible servers, vLLM as a process of ours, and the
rewriter that ships. Imports `common`."""

"""Captions: the description of a scene, its variants per weather style, prompts per view, and caption files. Imports
`common`, `scene` and `llm`."""

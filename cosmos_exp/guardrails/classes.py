"""Classes of the content classifier of Cosmos-Guardrail1."""

CLASSES = ("safe", "sexual", "violence", "drugs", "child abuse", "hate", "self-harm")
"""In its order."""
VIOLENCE = CLASSES.index("violence")

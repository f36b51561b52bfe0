"""Weights & Biases: offline runs from run folders, sending them, and saved workspaces. It may import what `tracking`
may."""

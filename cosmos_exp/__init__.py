"""cosmos-exp: a driving scene goes in, a logged six-camera video comes out."""

__version__ = "0.1.0"

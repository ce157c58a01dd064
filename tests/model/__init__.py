"""Random lives, held against a model."""

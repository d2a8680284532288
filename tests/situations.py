"""Situations of public bug reports: not wrong, so they must work."""
SITUATIONS = []

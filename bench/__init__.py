"""Figures of our own, printed by `make bench`: nothing else may be quoted in the documentation."""

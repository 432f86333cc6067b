"""Figures that say how good scores are."""

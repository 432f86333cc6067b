"""Engraving of scores."""

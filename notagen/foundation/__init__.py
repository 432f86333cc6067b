"""Errors, settings, indexes, files and worker processes: nothing here knows music or torch."""

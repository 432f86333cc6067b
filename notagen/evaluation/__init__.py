"""A model and its scores measured: from files to figures, tables and pictures."""

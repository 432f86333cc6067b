"""Music and text as vectors: M3 and CLaMP 2, and what their likeness tells."""

"""From scores to training texts: what the scripts of `data/` do with one piece, and the split."""

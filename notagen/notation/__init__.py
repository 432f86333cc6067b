"""ABC text in and out: tunes, bars, keys, rests, checks and the converters."""

"""The two-level decoder and its weights; torch starts on this floor."""

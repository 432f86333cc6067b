"""Text to patches of characters and back."""

"""Better and worse generations as chosen and rejected ones, and what a model loses by them."""

"""The page: writing pieces while somebody watches, and every form of them to keep."""

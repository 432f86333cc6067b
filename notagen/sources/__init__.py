"""Where training music comes from."""

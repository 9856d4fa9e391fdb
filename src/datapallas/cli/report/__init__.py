"""What `datapallas report ...` does."""

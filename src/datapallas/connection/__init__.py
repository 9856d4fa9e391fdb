"""What a connection is, its file, and its secrets."""

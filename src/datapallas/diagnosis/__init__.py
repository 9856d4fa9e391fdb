"""Explains any failure: cause, one thing to do next, who can do it, and the raw text it was made from."""

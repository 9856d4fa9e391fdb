"""The files that go with an email: made from a template, from the recipient's rows, cut from a PDF, or given."""

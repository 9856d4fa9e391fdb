"""The server's side of SMTP: what the sandbox is made of."""

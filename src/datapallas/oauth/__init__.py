"""Sign-ins and tokens: OAuth 2 from the browser's address to a fresh access token. Knows nothing of SMTP.

Pure: `authorization`, `paste`, `grants`, `answers`, `claims`, `acceptance`, `token`, `pacing`. With I/O: the rest.
"""

"""SMTP submission, client and server, over one grammar (RFC 5321, 6409).

`reply`, `command`, `sasl`, `features`, `body`, `client` and `transaction` take bytes and values and return bytes and
values: no socket, no clock, no file. `stream` and `async_stream` drive the client over a socket; `listener` drives
the server. Nothing here knows where a token comes from.
"""

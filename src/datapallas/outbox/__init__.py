"""Mail we have promised to send, until every recipient has an outcome.

A message row is at once the queue entry, the idempotency record and the progress report (the ledger). The courier
drains it: sessions under leases, send times reserved in the same transaction as the messages that will use them.
`limits`, `pacing`, `estimate` and `verdict` are pure. SQLite file by default, PostgreSQL for a fleet, the same code.

Must stay true: accepted means committed and synced; a worker that lost its lease changes nothing any more; what may
have been sent twice is listed, and only what was being handed over when a worker died can be.
"""

"""Reports: rows from a file or a database become one email, and its documents, for each recipient.

`definition` reads report.toml into `model`; `rows` streams rows; `recipients` makes one recipient of one or many rows;
`rendering` fills the templates in, in child processes with limits; `documents` and `burst` make the files; `run` ties
them together and promises the messages to the outbox.

Must stay true: rows are streamed, so that a million cost no more memory than a thousand; what a template does can
neither reach this process nor stop a run; the same row of the same run is never promised twice.
"""

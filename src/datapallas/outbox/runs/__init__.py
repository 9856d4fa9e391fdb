"""Work that has steps and must not be lost: a report run, the weekly keep-alive, the daily clean-up.

A record (`records`) is the promise and the truth about a run; DBOS carries its steps out (`engine`), one after the
other, and remembers which are done. `routines` makes records when their time has come; `cron` knows the times. Nothing
here knows what the work is.

Must stay true: a record that was committed is worked on until it has ended, whoever is killed meanwhile; only the
newest owner of a run can change it; the same scheduled time makes one record, however many machines look at the clock.
"""

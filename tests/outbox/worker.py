"""A courier as a process of its own, to be killed: `python worker.py PLACE [HOST:]PORT LEASE PER_MINUTE SESSIONS [forever]`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from datapallas.outbox.courier import Courier
from datapallas.outbox.database import Database
from datapallas.outbox.limits import Limits
from outbox.office import Office

if __name__ == "__main__":
    place, port, lease, per_minute, sessions, *forever = sys.argv[1:]
    database = Database(place if "://" in place else Path(place))
    limits = Limits(sessions=int(sessions), per_minute=float(per_minute))
    host, _, number = port.rpartition(":")
    office = Office(int(number), limits, host=host or "127.0.0.1")
    Courier(database, office, lease=float(lease)).drain(forever=bool(forever))

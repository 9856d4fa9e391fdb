"""DBOS on SQLite, one workflow for each mail: a queue with 50 at a time, looked at every 0.1 s; three connections.

WAL, as our own ledger has. With ``accept`` as the work it only promises them, one enqueued workflow each.
"""

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from dbos import DBOS

from bench.meter import Job
from bench.peers.queued import Post, wait_for


def main(folder, job):
    counter = folder / "sent"
    ledger = sqlite3.connect(folder / "dbos.db")
    ledger.execute("PRAGMA journal_mode=WAL").fetchall()  # a commit of its usual journal waits for the disk thrice
    ledger.close()
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.db", "log_level": "ERROR"})
    accepting = job.work == "accept"
    post = None if accepting else Post(job, counter, job.connections)

    @DBOS.step()
    def send(index):
        post.send(index)

    @DBOS.workflow()
    def mail(index):
        send(index)

    if accepting:
        DBOS.listen_queues([])
    DBOS.launch()
    DBOS.register_queue("mails", worker_concurrency=50, polling_interval_sec=0.1)
    for index in range(job.untimed):
        DBOS.enqueue_workflow("mails", mail, index)
    if not accepting:
        wait_for(counter, job.untimed)
    cpu, clock = time.process_time(), time.perf_counter()
    for index in range(job.messages):
        DBOS.enqueue_workflow("mails", mail, index)
    if not accepting:
        wait_for(counter, job.untimed + job.messages)
    seconds, spent = time.perf_counter() - clock, time.process_time() - cpu
    print(json.dumps({"messages": job.messages, "seconds": seconds, "cpu": spent, "p50": seconds / job.messages}))
    DBOS.destroy()


if __name__ == "__main__":
    build = Path(__file__).resolve().parents[1] / ".build"
    with tempfile.TemporaryDirectory(dir=build) as name:
        main(Path(name), Job(**json.loads(sys.argv[-1])))

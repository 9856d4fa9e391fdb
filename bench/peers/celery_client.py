"""Celery with Redis, one task for each mail: a worker with a process for each connection, Redis without its disk.

What is as good as it can be: Redis by a socket in the file system and in memory only, no results kept, many tasks
fetched at once, a connection kept open in each process.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import celery

from bench.meter import Job
from bench.peers.queued import Post, wait_for

folder = Path(os.environ.get("BENCH_FOLDER") or tempfile.mkdtemp(prefix="datapallas-celery-"))
app = celery.Celery("celery_client", broker=f"redis+socket://{folder}/redis.sock")
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)
counter = folder / "sent"
kept = []


@app.task(name="mail")
def mail(index):
    if not kept:
        kept.append(Post(Job(**json.loads(os.environ["BENCH_JOB"])), counter, 1))
    kept[0].send(index)


def used(leaders):
    """CPU seconds of these processes and of all theirs."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) in leaders:  # the process group
            ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main():
    job = Job.given()
    server = ["redis-server", "--port", "0", "--unixsocket", str(folder / "redis.sock"), "--save", "", "--appendonly", "no"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": sys.stderr, "start_new_session": True}
    redis = subprocess.Popen([*server, "--dir", str(folder)], **quiet)
    options = ["--pool", "prefork", "--concurrency", str(job.connections), "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "-A", "bench.peers.celery_client", "worker", *options, "--loglevel", "ERROR"]
    given = {"BENCH_JOB": sys.argv[-1], "BENCH_FOLDER": str(folder)}
    worker = subprocess.Popen([*command, "--without-heartbeat"], env={**os.environ, **given}, **quiet)
    try:
        for index in range(job.untimed):
            mail.delay(index)
        wait_for(counter, job.untimed)
        cpu, own, clock = used({redis.pid, worker.pid}), time.process_time(), time.perf_counter()
        for index in range(job.messages):
            mail.delay(index)
        wait_for(counter, job.untimed + job.messages)
        seconds = time.perf_counter() - clock
        cpu = used({redis.pid, worker.pid}) - cpu + time.process_time() - own
    finally:
        for one in (worker, redis):
            one.terminate()
            one.wait(30)
        shutil.rmtree(folder)
    print(json.dumps({"messages": job.messages, "seconds": seconds, "cpu": cpu, "p50": seconds / job.messages}))


if __name__ == "__main__":
    main()

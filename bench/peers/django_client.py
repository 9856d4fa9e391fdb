"""Django's mail in a loop, as its documentation shows it: one open connection for each loop, a process for each connection.

Processes, because three threads of one are no faster than one: composing with the email package is the work.
"""

import json
import multiprocessing
import ssl
import statistics
import time
from pathlib import Path

import django
from django.conf import settings

from bench.meter import SENDER, Job

job = Job.given()
settings.configure(
    EMAIL_HOST=job.host,
    EMAIL_PORT=job.port,
    EMAIL_USE_TLS=True,
    EMAIL_HOST_USER=SENDER,
    EMAIL_HOST_PASSWORD=job.secret,
    DEFAULT_FROM_EMAIL=SENDER,
)
django.setup()

from django.core.mail import EmailMultiAlternatives, get_connection  # noqa: E402 - only after the settings

campaign = job.campaign()
shared = Path(job.file).read_bytes()


def send(connection, index):
    to, subject, text, html = campaign.letter(index)
    message = EmailMultiAlternatives(subject, text, SENDER, [to], connection=connection)
    message.attach_alternative(html, "text/html")
    message.attach("figures.pdf", shared, "application/pdf")
    message.send()


def loop(first, ready, said):
    connection = get_connection()
    connection.ssl_context = ssl.create_default_context(cafile=job.ca)  # a cached property: read once, not each time
    connection.open()
    for index in range(job.untimed // job.connections):
        send(connection, index)
    ready.wait(60)
    took, cpu = [], time.process_time()
    for index in range(first, job.messages, job.connections):
        begun = time.perf_counter()
        send(connection, index)
        took.append(time.perf_counter() - begun)
    said.put((time.process_time() - cpu, took))
    connection.close()


if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    ready, said = fork.Barrier(job.connections + 1), fork.Queue()
    loops = [fork.Process(target=loop, args=(first, ready, said)) for first in range(job.connections)]
    for one in loops:
        one.start()
    ready.wait(60)
    clock = time.perf_counter()
    ended = [said.get(timeout=100) for _ in loops]
    seconds = time.perf_counter() - clock
    for one in loops:
        one.join()
    took = [each for _, some in ended for each in some]
    cpu = sum(one for one, _ in ended)
    print(json.dumps({"messages": len(took), "seconds": seconds, "cpu": cpu, "p50": statistics.median(took)}))

"""What the workers of a task queue share: a connection for each thread or process, the mail, and the count of what was sent.

Each message is composed and sent by EmailMessage and smtplib. Nothing but the standard library is imported here.
"""

import os
import smtplib
import ssl
import threading
import time
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from bench.meter import SENDER, Job

LONGEST = 100  # seconds


class Post:
    """Sends the letters of a job, at most `connections` at a time in this process."""

    def __init__(self, job: Job, counter: Path, connections: int) -> None:
        self._job, self._connections = job, connections
        self._campaign = job.campaign()
        self._shared = Path(job.file).read_bytes()
        self._context = ssl.create_default_context(cafile=job.ca)
        self._counter = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._free = []
        self._room = threading.Semaphore(connections)

    def send(self, index: int) -> None:
        """Send one; its octet in the counter says that it is done."""
        with self._room:
            smtp = self._free.pop() if self._free else self._open()
            smtp.send_message(self._compose(index))
            self._free.append(smtp)
        os.write(self._counter, b".")

    def _open(self) -> smtplib.SMTP:
        smtp = smtplib.SMTP(self._job.host, self._job.port)
        smtp.starttls(context=self._context)
        smtp.login(SENDER, self._job.secret)
        return smtp

    def _compose(self, index: int) -> EmailMessage:
        to, subject, text, html = self._campaign.letter(index)
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = SENDER, to, subject
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        message.add_attachment(self._shared, maintype="application", subtype="pdf", filename="figures.pdf")
        return message


def wait_for(counter: Path, count: int) -> None:
    """Wait until so many messages were sent. Raises TimeoutError."""
    until = time.monotonic() + LONGEST
    while not counter.exists() or counter.stat().st_size < count:
        if time.monotonic() > until:
            done = counter.stat().st_size if counter.exists() else 0
            raise TimeoutError(f"{done} of {count} messages after {LONGEST} s")
        time.sleep(0.005)

"""The standard library's smtplib, and EmailMessage for what is composed: as its documentation shows, with one context."""

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from bench.meter import RECIPIENT, SENDER, Job, measure

job = Job.given()
context = ssl.create_default_context(cafile=job.ca)
octets = job.octets() if job.message else b""
words = job.words() if job.text else ""
campaign = job.campaign() if job.people else None
shared = Path(job.file).read_bytes() if job.file and job.work == "campaign" else b""


class Peer:
    def open(self):
        self.smtp = smtplib.SMTP(job.host, job.port)
        self.smtp.starttls(context=context)
        self.smtp.login(SENDER, job.secret)

    def close(self):
        self.smtp.quit()

    def send(self, index):
        if job.work == "raw":
            self.smtp.sendmail(SENDER, [RECIPIENT], octets)
        else:
            self.smtp.send_message(self.compose(index))

    def compose(self, index):
        message = EmailMessage(policy=SMTP)
        message["From"] = SENDER
        if campaign:
            to, subject, text, html = campaign.letter(index)
            message["To"], message["Subject"] = to, subject
            message.set_content(text)
            message.add_alternative(html, subtype="html")
            message.add_attachment(shared, maintype="application", subtype="pdf", filename="figures.pdf")
            return message
        message["To"], message["Subject"] = RECIPIENT, "Figures"
        message.set_content(words)
        if job.file:
            data = Path(job.file).read_bytes()
            message.add_attachment(data, maintype="application", subtype="octet-stream", filename="figures.bin")
        return message


measure(job, Peer)

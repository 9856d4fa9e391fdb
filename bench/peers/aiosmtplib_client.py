"""aiosmtplib 5: one SMTP object per connection, one context."""

import ssl

import aiosmtplib

from bench.meter import RECIPIENT, SENDER, Job, measure_async

job = Job.given()
context = ssl.create_default_context(cafile=job.ca)
octets = job.octets()


class Peer:
    async def open(self):
        self.smtp = aiosmtplib.SMTP(
            hostname=job.host,
            port=job.port,
            start_tls=True,
            tls_context=context,
            username=SENDER,
            password=job.secret,
        )
        await self.smtp.connect()

    async def close(self):
        await self.smtp.quit()

    async def send(self, index):
        await self.smtp.sendmail(SENDER, [RECIPIENT], octets)


measure_async(job, Peer)

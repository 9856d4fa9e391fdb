// Nodemailer with its pool; each connection always has messages waiting (window), as the pool is meant to be used.
"use strict";
const fs = require("node:fs");
const nodemailer = require("nodemailer");

const job = JSON.parse(process.argv[process.argv.length - 1]);
const connections = job.connections || 1;
const sender = "sender@bench.example";
const recipient = "to@bench.example";
const transport = nodemailer.createTransport({
  pool: !job.each_new,
  maxConnections: connections,
  maxMessages: Infinity,
  host: job.host,
  port: job.port,
  requireTLS: true,
  auth: { user: sender, pass: job.secret },
  tls: { ca: fs.readFileSync(job.ca) },
});
const raw = job.message ? fs.readFileSync(job.message) : null;
const text = job.text ? fs.readFileSync(job.text, "utf8") : "";
const campaign = job.people ? JSON.parse(fs.readFileSync(job.people, "utf8")) : null;
const shared = campaign ? fs.readFileSync(job.file) : null;

function message(index) {
  if (job.work === "raw") return { envelope: { from: sender, to: [recipient] }, raw };
  if (!campaign) {
    const attachments = job.file ? [{ filename: "figures.bin", path: job.file }] : [];
    return { from: sender, to: recipient, subject: "Figures", text, attachments };
  }
  const person = campaign.people[index % campaign.people.length];
  const fill = (words) => words.replaceAll("{name}", person.name).replaceAll("{amount}", person.amount);
  return {
    from: sender,
    to: person.address,
    subject: fill(campaign.subject),
    text: fill(campaign.text),
    html: fill(campaign.html),
    attachments: [{ filename: "figures.pdf", content: shared, contentType: "application/pdf" }],
  };
}

function memory(field) {
  const line = fs.readFileSync("/proc/self/status", "utf8").split("\n").find((one) => one.startsWith(field));
  return Number(line.split(/\s+/)[1]) * 1024;
}

async function sendAll(count, took) {
  let next = 0;
  async function worker() {
    while (next < count) {
      const index = next++;
      const begun = process.hrtime.bigint();
      await transport.sendMail(message(index));
      took.push(Number(process.hrtime.bigint() - begun) / 1e9);
    }
  }
  await Promise.all(Array.from({ length: connections * (job.window || 1) }, worker));
}

(async () => {
  await sendAll(job.untimed || 0, []);
  const took = [];
  fs.writeFileSync("/proc/self/clear_refs", "5");
  const idle = memory("VmRSS");
  const cpu = process.cpuUsage();
  const clock = process.hrtime.bigint();
  await sendAll(job.messages, took);
  const seconds = Number(process.hrtime.bigint() - clock) / 1e9;
  const spent = process.cpuUsage(cpu);
  took.sort((a, b) => a - b);
  const result = {
    messages: took.length,
    seconds,
    cpu: (spent.user + spent.system) / 1e6,
    p50: took[took.length >> 1],
    idle,
    peak: memory("VmHWM") - idle,
  };
  console.log(JSON.stringify(result));
  transport.close();
})();

"""Postfix and Stoa exchange mail, each a whole server for a domain of its own; of the demo of argument 1 only the program is used.

Beside the program lies `examples/world`, whose DNS has both domains, signed. Proves, both ways: mail arrives over TLS with a
certificate that holds; SMTPUTF8 with an address in UTF-8; a report of success for who asked, a report of failure for an
unknown recipient; pipelining; dots and long lines whole. Both offer CHUNKING; neither uses it
where DATA will do.
"""

import contextlib
import imaplib
import os
import random
import re
import smtplib
import socket
import ssl
import subprocess

from neighbour import Postfix
from stage import PATIENCE_SECONDS, Failed, check, fetched, good, play, run, skip, wait_for

OURS, THEIRS = "one.test", "two.test"
# No final sigma: Postfix folds it to another letter when it looks the mailbox up.
UTF8_USER = "δίων"
# Below the ports that Linux gives to clients.
PORTS = range(20_000, 32_000)
TEXT = f".\n..two\n{'x' * 900}\nend\n"


def network():
    """Two addresses of a random loopback network, and ports that are free on both."""
    base = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"
    addresses, ports = (f"{base}.1", f"{base}.2"), []
    while len(ports) < 3:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for address in addresses:
                stack.enter_context(socket.socket()).bind((address, port))
            ports.append(port)
    return addresses, ports


class Server:
    """`stoa serve` for one.test."""

    def __init__(self, program, folder, address, ports):
        self.program, self.data, self.address = program, folder / "stoa", address
        self.smtp, self.submissions, self.imaps = ports
        self.owner, self.process = f"alice@{OURS}", None
        said = run(program, "init", self.owner, "--dir", self.data)
        self.password = re.search(r"Your password:\s+(\S+)", said)[1]

    def key_records(self):
        lines = run(self.program, "dns", "--zone", "--dir", self.data).splitlines()
        return [line for line in lines if "_domainkey." in line and not line.startswith(";")]

    def start(self, world, dns, log):
        listen = {"smtp": self.smtp, "submissions": self.submissions, "imaps": self.imaps}
        lines = [f'hostname = "mail.{OURS}"', f'domains = ["{OURS}"]', "[listen]"]
        lines += [f'{service} = ["{self.address}:{port}"]' for service, port in listen.items()]
        lines += [f"{service} = []" for service in ("submission", "imap", "http", "https")]
        lines += ["[tls]", f'certificate_file = "{world}/mail.{OURS}.pem"', f'key_file = "{world}/mail.{OURS}.key"']
        lines += ["[dns]", f'servers = ["{dns}"]', f'trust_anchor_file = "{world}/anchor"']
        lines += ["[queue]", f"smtp_port = {self.smtp}", f'extra_ca_file = "{world}/authority.pem"']
        lines += ["[abuse]", "first_time_delay_seconds = 0"]
        (self.data / "stoa.toml").write_text("\n".join(lines) + "\n")
        self.tls = ssl.create_default_context(cafile=world / "authority.pem")
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [self.program, "serve", "--dir", self.data], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )
        wait_for("the server", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            raise Failed("the server ended before it served")
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.imaps)):
            return True

    def send(self, to, message, mail_options=(), rcpt_options=()):
        with smtplib.SMTP_SSL(self.address, self.submissions, context=self.tls) as smtp:
            smtp.login(self.owner, self.password)
            if refused := smtp.sendmail(self.owner, [to], message.encode(), mail_options, rcpt_options):
                raise Failed(f"submission refused {refused}")

    def found(self, text):
        with imaplib.IMAP4_SSL(self.address, self.imaps, ssl_context=self.tls) as imap:
            imap.login(self.owner, self.password)
            good(imap.select("INBOX", readonly=True))
            (uids,) = good(imap.uid("SEARCH", "TEXT", f'"{text}"'))
            return [fetched(imap, uid)[2] for uid in uids.split()]

    def stop(self):
        self.process.terminate()
        if self.process.wait(PATIENCE_SECONDS) != 0:
            raise Failed(f"the server ended with {self.process.returncode}")


def mail(subject, sender, to):
    """Eight-bit text with dots and a long line."""
    fields = [f"From: {sender}", f"To: {to}", f"Subject: {subject}", f"Message-ID: <{subject}@{sender.split('@')[1]}>"]
    mime = ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return "\r\n".join([*fields, *mime, "", *TEXT.splitlines(), ""])


def whole(what, found):
    check(f"{what} arrived once", len(found) == 1, found)
    check(f"the text of {what} is whole", TEXT.replace("\n", "\r\n").encode() in found[0].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), found[0])


def report(what, found, action):
    check(f"{what} comes once", len(found) == 1, found)
    text = found[0].decode(errors="replace")
    check(f"{what} says {action} and has no reverse-path", f"Action: {action}" in text and "Return-Path: <>" in text, text)


def stoa_sends(stoa, postfix):
    carol, dion = f"carol@{THEIRS}", f"{UTF8_USER}@{THEIRS}"
    asks = ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{carol}"]
    stoa.send(carol, mail("to-postfix", stoa.owner, carol), ["BODY=8BITMIME", "RET=HDRS", "ENVID=stoa-1"], asks)
    whole("what Stoa sent to Postfix", wait_for("it", lambda: postfix.found("carol", "Subject: to-postfix")))
    report("Postfix's report of success", wait_for("it", lambda: stoa.found("Original-Envelope-Id: stoa-1")), "delivered")

    stoa.send(dion, mail("to-utf8", stoa.owner, dion), ["SMTPUTF8", "BODY=8BITMIME"])
    whole("what Stoa sent with SMTPUTF8", wait_for("it", lambda: postfix.found(UTF8_USER, "Subject: to-utf8")))

    nobody = f"nobody@{THEIRS}"
    stoa.send(nobody, mail("to-nobody", stoa.owner, nobody))
    report("Stoa's report of failure", wait_for("it", lambda: stoa.found(f"Final-Recipient: rfc822; {nobody}")), "failed")

    log = postfix.log()
    check("Stoa came over TLS", "Anonymous TLS connection established from" in log, log)
    check("Postfix offered CHUNKING", re.search(r"> \S+: 250[- ]CHUNKING", log), log)
    check("Stoa sent SMTPUTF8 where it was needed alone", len(set(re.findall(r"< \S+: MAIL FROM:\S+ .*SMTPUTF8", log))) == 1, log)


def postfix_sends(stoa, postfix):
    carol, dion = f"carol@{THEIRS}", f"{UTF8_USER}@{THEIRS}"
    postfix.send(carol, stoa.owner, mail("to-stoa", carol, stoa.owner), "-N", "success,failure,delay", "-V", "postfix-1")
    whole("what Postfix sent to Stoa", wait_for("it", lambda: stoa.found("to-stoa@")))
    report("the report of success", wait_for("it", lambda: postfix.found("carol", "Original-Envelope-Id: postfix-1")), "delivered")

    postfix.send(dion, stoa.owner, mail("from-utf8", dion, stoa.owner))
    whole("what Postfix sent with SMTPUTF8", wait_for("it", lambda: stoa.found("from-utf8@")))

    nobody = f"nobody@{OURS}"
    postfix.send(carol, nobody, mail("to-unknown", carol, nobody))
    report("Postfix's report of what Stoa refused", wait_for("it", lambda: postfix.found("carol", "Action: failed")), "failed")

    log = postfix.log()
    check("Postfix verified Stoa's certificate", "Verified TLS connection established to" in log, log)
    check("Postfix pipelined", re.search(r"> (\S+): MAIL FROM:.*\n.*> \1: RCPT TO:.*\n.*> \1: DATA\n", log), log)


def prove(demo, home):
    if os.geteuid() != 0:
        return skip("Postfix", "only root can start one")
    # Postfix works under another user, and has to get to its folder.
    home.chmod(0o711)
    (ours, theirs), ports = network()
    world = home / "world"
    world.mkdir()
    stoa = Server(demo.program, home, ours, ports)
    # Connections between loopback addresses come from 127.0.0.1.
    common = 'mail TXT "v=spf1 ip4:127.0.0.1 -all"\n@ MX 10 mail\n@ TXT "v=spf1 ip4:127.0.0.1 -all"\n'
    (world / f"{OURS}.zone").write_text("\n".join([f"{common}mail A {ours}", *stoa.key_records(), ""]))
    (world / f"{THEIRS}.zone").write_text(f"{common}mail A {theirs}\n")
    names = [f"mail.{OURS}={ours}", f"mail.{THEIRS}={theirs}"]
    serving = subprocess.Popen(
        [demo.program.parent / "examples" / "world", world, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    with serving:
        dns = serving.stdout.readline().strip()
        check("the world has a DNS", dns)
        for key in world.glob("*.key"):
            key.chmod(0o600)
        world.chmod(0o711)
        postfix = Postfix(home / "postfix", world, THEIRS, theirs, ports[0], OURS, ours, ["carol", UTF8_USER])
        stoa.start(world, dns, home / "stoa.log")
        try:
            postfix.start()
            try:
                stoa_sends(stoa, postfix)
                postfix_sends(stoa, postfix)
            finally:
                postfix.stop()
        finally:
            stoa.stop()


play(prove, "postfix")

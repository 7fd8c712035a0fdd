"""What the scripts of this folder share: the demo that they talk to, checks that say what they saw, and other programs.

A script calls `play(prove)`; `prove(demo, home)` gets the demo of the ready file in argument 1 and a temporary folder
that is its HOME. Each check prints one line. The first that fails ends the script with a sentence.
"""

import email.message
import imaplib
import json
import os
import pathlib
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "clients.md"
# A debug build on a busy machine; what goes well takes a small part of it.
PATIENCE_SECONDS = 60
SCRIPT = pathlib.Path(sys.argv[0]).stem


class Failed(Exception):
    """A sentence for whoever ran the script."""


@dataclass(frozen=True)
class Account:
    address: str
    password: str


class Demo:
    """A running `stoa demo`, as its ready file describes it."""

    def __init__(self, ready_file):
        ready = json.loads(pathlib.Path(ready_file).read_text())
        self.ports, self.ca_file = ready["ports"], ready["ca_file"]
        # The program itself, for what it does beside serving.
        self.program = pathlib.Path(f"/proc/{ready['pid']}/exe").resolve()
        self.tls = ssl.create_default_context(cafile=self.ca_file)
        accounts = [Account(**account) for account in ready["accounts"]]
        self.socrates, self.plato = (next(a for a in accounts if a.address.startswith(n)) for n in ("socrates@", "plato@"))

    def imap(self, account):
        """A second opinion: Python's own client, logged in."""
        imap = imaplib.IMAP4_SSL("localhost", self.ports["imaps"], ssl_context=self.tls)
        imap.login(account.address, account.password)
        return imap

    def deliver(self, to, subject, text="How is Syracuse?\n"):
        """A stranger's message for one of the accounts, by SMTP."""
        with smtplib.SMTP("localhost", self.ports["smtp"]) as smtp:
            smtp.send_message(letter(subject, text, to.address), "crito@athens.example", [to.address])

    def submission_offers(self):
        """The mechanisms of the submission port with TLS."""
        with smtplib.SMTP_SSL("localhost", self.ports["submissions"], context=self.tls) as smtp:
            smtp.ehlo()
            return smtp.esmtp_features["auth"].split()

    def found(self, account, subject, mailbox="INBOX"):
        """The messages with this in the subject: a list of (UID, flags, octets)."""
        with self.imap(account) as imap:
            good(imap.select(f'"{mailbox}"', readonly=True))
            (uids,) = good(imap.uid("SEARCH", "SUBJECT", f'"{subject}"'))
            return [fetched(imap, uid) for uid in uids.split()]

    def arrived(self, account, subject, mailbox="INBOX"):
        """The one message with this subject, once it is there."""
        messages = wait_for(f"a message {subject!r} in {mailbox}", lambda: self.found(account, subject, mailbox))
        check(f"one message {subject!r} is in {mailbox} of {account.address}", len(messages) == 1, len(messages))
        return messages[0]

    def remove(self, account, subject, *mailboxes):
        """Leaves nothing of the script's messages behind."""
        with self.imap(account) as imap:
            for mailbox in mailboxes:
                good(imap.select(f'"{mailbox}"'))
                (uids,) = good(imap.uid("SEARCH", "SUBJECT", f'"{subject}"'))
                if uids:
                    good(imap.uid("STORE", uids.replace(b" ", b",").decode(), "+FLAGS.SILENT", r"(\Deleted)"))
                    good(imap.expunge())


def letter(subject, text, to, sender="Crito <crito@athens.example>"):
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"] = email.utils.make_msgid(domain="athens.example")
    message["Date"] = email.utils.formatdate()
    message.set_content(text)
    return message


def good(answer):
    """What imaplib got with OK."""
    status, data = answer
    if status != "OK":
        raise Failed(f"the server answered {status}: {data}")
    return data


def fetched(imap, uid):
    data = good(imap.uid("FETCH", uid, "(FLAGS BODY.PEEK[])"))
    told = b" ".join(part if isinstance(part, bytes) else part[0] for part in data)
    flags = {flag.decode() for flag in imaplib.ParseFlags(told)}
    return int(uid), flags, next(part[1] for part in data if isinstance(part, tuple))


def check(what, holds, saw=None):
    if not holds:
        raise Failed(f"it is not so that {what}" + ("" if saw is None else f"; seen: {saw}"))
    print(f"{SCRIPT}: {what}", flush=True)


def skip(what, why):
    print(f"{SCRIPT}: SKIPPED {what}: {why}", flush=True)


def wait_for(what, look, seconds=PATIENCE_SECONDS):
    """The first true thing that `look` gives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if seen := look():
            return seen
        time.sleep(0.1)
    raise Failed(f"waited {seconds} seconds in vain for {what}")


def run(*command, text=None, ends_with=(0,), **options):
    """A program's run to its end; gives what it wrote."""
    ended = subprocess.run(
        [str(word) for word in command], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", timeout=4 * PATIENCE_SECONDS, **({} if text else {"stdin": subprocess.DEVNULL}), **options,
    )
    if ended.returncode not in ends_with:
        raise Failed(f"{command[0]} ended with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


def documented(heading):
    """The first indented block below a heading of docs/clients.md, so that what is told there is what is tried here."""
    below = DOCUMENT.read_text().split(f"\n## {heading}\n", 1)
    if len(below) != 2:
        raise Failed(f"{DOCUMENT} has no heading {heading!r}")
    lines = below[1].split("\n## ", 1)[0].splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("    "))
    after = next((n for n in range(first, len(lines)) if lines[n] and not lines[n].startswith("    ")), len(lines))
    return "\n".join(line[4:] for line in lines[first:after]).strip() + "\n"


def replaced(text, replacements):
    """The text with each of these put in; all of them must occur."""
    for old, new in replacements.items():
        if old not in text:
            raise Failed(f"docs/clients.md no longer says {old!r}")
        text = text.replace(old, new)
    return text


def play(prove, *programs):
    """Runs the script. `programs` must be there: nothing is proved by leaving them out."""
    # Whoever stops it finds nothing left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{SCRIPT}: stopped"))
    home = pathlib.Path(tempfile.mkdtemp(prefix=f"stoa-{SCRIPT}-"))
    # No configuration of the user's takes part, and no proxy.
    os.environ.update(HOME=str(home), XDG_CONFIG_HOME=str(home), TERM="xterm", LC_ALL="C.UTF-8", no_proxy="*")
    try:
        for program in programs:
            if shutil.which(program) is None:
                raise Failed(f"{program} is not installed; make test-clients installs it")
        prove(Demo(sys.argv[1]), home)
    except Failed as failure:
        sys.exit(f"{SCRIPT}: FAILED: {failure}")
    except Exception as error:  # Whatever it is, the end is a sentence.
        traceback.print_exc()
        sys.exit(f"{SCRIPT}: FAILED: {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(home, ignore_errors=True)

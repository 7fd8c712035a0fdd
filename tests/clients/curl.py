"""curl over imap, imaps, smtp and smtps: argument 1 is the ready file of a running demo.

Proves: it lists, uploads, downloads (whole, a section, by UID), changes flags and searches; it submits with PLAIN and LOGIN,
with STARTTLS and with TLS at once; a wrong password is refused on each port. The tests under tests/it show the basics, too.
"""

import re

from stage import check, play, run

LOGIN_DENIED = 67
BOX = "By-curl"
LETTER = "From: socrates@stoa.localhost\r\nTo: plato@stoa.localhost\r\nSubject: {}\r\n\r\nGrüße, by curl.\r\n"


class Curl:
    def __init__(self, demo, account):
        self.demo, self.user = demo, f"{account.address}:{account.password}"

    def __call__(self, url, *arguments, user=None, **options):
        common = ["--silent", "--show-error", "--max-time", "60", "--cacert", self.demo.ca_file, "--user", user or self.user]
        return run("curl", *common, "--ssl-reqd", "--url", url, *arguments, **options)


def url(demo, scheme, service, path=""):
    return f"{scheme}://localhost:{demo.ports[service]}{path}"


def over_imap(demo, home, scheme, service):
    curl, at = Curl(demo, demo.socrates), lambda path: url(demo, scheme, service, path)
    message = home / "letter"
    message.write_bytes(LETTER.format(f"Kept over {scheme}").encode())
    curl(at("/"), "--request", f"CREATE {BOX}")
    try:
        listed = curl(at("/"))
        check(f"{scheme}: the list has {BOX} and says what Drafts is for", BOX in listed and "\\Drafts" in listed, listed)
        curl(at(f"/{BOX}"), "--upload-file", message)
        read = curl(at(f"/{BOX};UID=1"))
        check(f"{scheme}: what was uploaded comes back", read == message.read_text(), read)
        body = curl(at(f"/{BOX};UID=1;SECTION=TEXT"))
        check(f"{scheme}: so does a section of it", body.strip() == "Grüße, by curl.", body)
        curl(at(f"/{BOX}"), "--request", r"STORE 1 +FLAGS.SILENT (\Flagged $Mine)")
        found = curl(at(f"/{BOX}?SUBJECT%20kept%20FLAGGED%20KEYWORD%20$Mine"))
        check(f"{scheme}: a search finds it by subject and flags", found.split() == ["*", "SEARCH", "1"], found)
        found = curl(at(f"/{BOX}"), "--request", "UID SEARCH UNSEEN")
        check(f"{scheme}: it was read, so nothing is unseen", found.split() == ["*", "SEARCH"], found)
        status = curl(at("/"), "--request", f"STATUS {BOX} (MESSAGES UIDNEXT)")
        check(f"{scheme}: the status counts it", re.search(r"\(MESSAGES 1 UIDNEXT 2\)", status), status)
    finally:
        curl(at("/"), "--request", f"DELETE {BOX}")


def over_smtp(demo, home, scheme, service, mechanism):
    subject = f"{mechanism} over {scheme}"
    message = home / "letter"
    message.write_bytes(LETTER.format(subject).encode())
    envelope = ["--mail-from", demo.socrates.address, "--mail-rcpt", demo.plato.address, "--upload-file", message]
    options = ["--login-options", f"AUTH={mechanism}", *envelope]
    try:
        Curl(demo, demo.socrates)(url(demo, scheme, service), *options)
        _, _, content = demo.arrived(demo.plato, subject)
        check(f"{subject}: the text is whole", "Grüße, by curl.".encode() in content, content)
    finally:
        demo.remove(demo.plato, subject, "INBOX")


def refused(demo, scheme, service):
    Curl(demo, demo.socrates)(url(demo, scheme, service, "/"), user=f"{demo.socrates.address}:wrong", ends_with=(LOGIN_DENIED,))
    check(f"{scheme}: a wrong password is refused on the port {service}", True)


def prove(demo, home):
    for scheme, service in (("imap", "imap"), ("imaps", "imaps")):
        over_imap(demo, home, scheme, service)
        refused(demo, scheme, service)
    for scheme, service in (("smtp", "submission"), ("smtps", "submissions")):
        for mechanism in ("PLAIN", "LOGIN"):
            over_smtp(demo, home, scheme, service, mechanism)
        refused(demo, scheme, service)


play(prove, "curl")

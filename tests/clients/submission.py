"""swaks and msmtp hand in mail: argument 1 is the ready file of a running demo. msmtp has the settings of docs/clients.md.

Proves: both submit with STARTTLS and with TLS at once, by PLAIN and LOGIN, msmtp by SCRAM-SHA-256 too; a wrong password, no
password and another's address are refused; a Bcc reaches its reader and is shown to nobody; eight-bit text and a UTF-8
subject come through; an address in UTF-8, which neither program announces with SMTPUTF8, is refused and not garbled.
"""

from stage import check, documented, play, replaced, run

# What swaks ends with (its manual, EXIT CODES), and msmtp (sysexits.h).
SWAKS_SENDER_REFUSED, SWAKS_RECIPIENTS_REFUSED, SWAKS_DATA_REFUSED, SWAKS_AUTH_REFUSED = 23, 24, 26, 28
MSMTP_DATA_ERROR, MSMTP_NO_PERMISSION = 65, 77
# The port of each way into TLS, and how swaks is told of it.
WAYS = {"STARTTLS": ("submission", "--tls"), "TLS": ("submissions", "--tlsc")}
TEXT = "Grüße aus Συρακούσαι.\n.\n..two\n"
# Ends each subject: what comes before is what is searched for.
GREEK = ", φιλία"
FOREIGN = "σωκράτης@ελλάς.example"


def letter(demo, subject, *more):
    fields = [f"From: {demo.socrates.address}", f"To: {demo.plato.address}", f"Subject: {subject}{GREEK}", *more]
    mime = ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return "\n".join([*fields, *mime, "", TEXT])


def swaks(demo, way, *arguments, **options):
    service, tls = WAYS[way]
    server = ["--server", f"localhost:{demo.ports[service]}", tls, "--tls-verify", "--tls-ca-path", demo.ca_file]
    return run("swaks", *server, "--from", demo.socrates.address, *arguments, **options)


def account(demo, mechanism, password=None):
    return ["--auth", mechanism, "--auth-user", demo.socrates.address, "--auth-password", password or demo.socrates.password]


def whole(demo, to, subject):
    _, _, content = demo.arrived(to, subject)
    text = content.decode().replace("\r\n", "\n").split("\n\n", 1)[1]
    # swaks ends what it sends with an empty line.
    check(f"{subject}: the text came through byte by byte", text in (TEXT, f"{TEXT}\n"), content)
    check(f"{subject}: the subject is as it was written", f"Subject: {subject}{GREEK}\r\n".encode() in content, content)
    check(f"{subject}: nobody sees a Bcc", b"bcc:" not in content.lower(), content)


def swaks_sends(demo, way, mechanism, home):
    subject = f"Test: swaks, {mechanism} in {way}"
    message = home / "letter"
    message.write_text(letter(demo, subject, f"Bcc: {demo.socrates.address}"))
    to = f"{demo.plato.address},{demo.socrates.address}"
    swaks(demo, way, *account(demo, mechanism), "--to", to, "--data", f"@{message}")
    for reader in (demo.plato, demo.socrates):
        whole(demo, reader, subject)


def swaks_is_refused(demo, way):
    to = ["--to", demo.plato.address]
    for mechanism in ("PLAIN", "LOGIN"):
        said = swaks(demo, way, *account(demo, mechanism, "wrong"), *to, ends_with=(SWAKS_AUTH_REFUSED,))
        check(f"{way}: {mechanism} with a wrong password gets 535", "535 5.7.8" in said, said)
    said = swaks(demo, way, *to, ends_with=(SWAKS_SENDER_REFUSED,))
    check(f"{way}: without a password nobody sends", "530 5.7.0" in said, said)
    said = swaks(demo, way, *account(demo, "PLAIN"), "--to", FOREIGN, ends_with=(SWAKS_RECIPIENTS_REFUSED,))
    check(f"{way}: an address in UTF-8 without SMTPUTF8 gets 553", "553 5.6.7" in said, said)
    forged = ["--header", f"From: {demo.plato.address}"]
    said = swaks(demo, way, *account(demo, "PLAIN"), *to, *forged, ends_with=(SWAKS_DATA_REFUSED,))
    check(f"{way}: a From that is another's gets 550", "550 5.7." in said, said)


def msmtp_settings(demo, home, password):
    path = home / f"msmtprc-{password[:5]}"
    path.write_text(replaced(documented("msmtp"), {
        "host mail.example.org": f"host localhost\ntls_trust_file {demo.ca_file}",
        "port 465": f"port {demo.ports['submissions']}",
        "john@example.org": demo.socrates.address,
        "passwordeval pass mail": f'password "{password}"',
    }))
    path.chmod(0o600)
    return path


def msmtp(demo, rc, way, *arguments, **options):
    tls = ["--tls-starttls=on", f"--port={demo.ports['submission']}"] if way == "STARTTLS" else []
    return run("msmtp", "-C", rc, *tls, *arguments, **options)


def msmtp_sends(demo, rc, way, auth):
    subject = f"Test: msmtp, {auth} in {way}"
    message = letter(demo, subject, f"Bcc: {demo.socrates.address}")
    msmtp(demo, rc, way, f"--auth={auth}", "-t", text=message)
    for reader in (demo.plato, demo.socrates):
        whole(demo, reader, subject)


def msmtp_is_refused(demo, home, rc, way):
    wrong = msmtp_settings(demo, home, "wrong")
    message = letter(demo, "Test: not to be sent")
    for auth in ("plain", "login", "scram-sha-256"):
        msmtp(demo, wrong, way, f"--auth={auth}", "-t", text=message, ends_with=(MSMTP_NO_PERMISSION,))
        check(f"{way}: msmtp is refused with a wrong password by {auth}", True)
    said = msmtp(demo, rc, way, FOREIGN, text=message, ends_with=(MSMTP_DATA_ERROR,))
    check(f"{way}: msmtp is told that an address in UTF-8 needs SMTPUTF8", "553 5.6.7" in said, said)


def prove(demo, home):
    rc = msmtp_settings(demo, home, demo.socrates.password)
    try:
        for way in WAYS:
            for mechanism in ("PLAIN", "LOGIN"):
                swaks_sends(demo, way, mechanism, home)
            swaks_is_refused(demo, way)
            for auth in ("on", "plain", "login", "scram-sha-256"):
                msmtp_sends(demo, rc, way, auth)
            msmtp_is_refused(demo, home, rc, way)
    finally:
        for account in (demo.plato, demo.socrates):
            demo.remove(account, "Test: ", "INBOX")


play(prove, "swaks", "msmtp")

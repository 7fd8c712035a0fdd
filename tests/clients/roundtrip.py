"""A round trip with Python's own mail clients: argument 1 is the ready file of a running demo."""

import email.message
import imaplib
import json
import smtplib
import ssl
import sys

ready = json.load(open(sys.argv[1]))
ports, host = ready["ports"], ready["host"]
tls = ssl.create_default_context(cafile=ready["ca_file"])
socrates, plato = (next(a for a in ready["accounts"] if a["address"].startswith(name)) for name in ("socrates@", "plato@"))

letter = email.message.EmailMessage()
letter["From"], letter["To"], letter["Subject"] = plato["address"], socrates["address"], "Grüße aus Syrakus"
letter.set_content("Schöne Grüße.\n.\nDein Plato\n")
letter.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="café.bin")

with smtplib.SMTP(host, ports["submission"]) as smtp:
    smtp.starttls(context=tls)
    smtp.login(plato["address"], plato["password"])
    refused = smtp.send_message(letter)
    assert refused == {}, refused
with smtplib.SMTP_SSL(host, ports["submissions"], context=tls) as smtp:
    try:
        smtp.login(plato["address"], "wrong")
        raise SystemExit("a wrong password was taken")
    except smtplib.SMTPAuthenticationError as error:
        assert error.smtp_code == 535, error
with smtplib.SMTP(host, ports["smtp"]) as smtp:
    try:
        smtp.sendmail("a@out.example", ["nobody@stoa.localhost"], "x: y\r\n\r\n")
        raise SystemExit("an unknown recipient was taken")
    except smtplib.SMTPRecipientsRefused as error:
        assert error.recipients["nobody@stoa.localhost"][0] == 550, error.recipients

with imaplib.IMAP4_SSL(host, ports["imaps"], ssl_context=tls) as imap:
    imap.login(socrates["address"], socrates["password"])
    assert imap.select("INBOX")[0] == "OK"
    status, found = imap.uid("SEARCH", "UNSEEN", "FROM", "plato@stoa.localhost")
    uid = found[0].split()[-1]
    status, data = imap.uid("FETCH", uid, "(FLAGS BODYSTRUCTURE RFC822.SIZE BODY[])")
    raw = data[0][1]
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["Subject"] == "Grüße aus Syrakus", message["Subject"]
    text = message.get_body().get_content().replace("\r\n", "\n")
    assert text == "Schöne Grüße.\n.\nDein Plato\n", text
    attachment = next(message.iter_attachments())
    assert attachment.get_filename() == "café.bin" and attachment.get_content() == bytes(range(256)) * 40
    assert b"RFC822.SIZE %d" % len(raw) in data[0][0], data[0][0]
    status, data = imap.uid("FETCH", uid, "(FLAGS)")
    assert rb"\Seen" in data[0], data
    assert imap.uid("COPY", uid, "Archive")[0] == "OK"
    assert imap.uid("STORE", uid, "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert imap.expunge()[0] == "OK"
    assert imap.uid("FETCH", uid, "(FLAGS)")[1] == [None]
    status, data = imap.append("Drafts", r"(\Draft)", imaplib.Time2Internaldate(1_000_000_000), b"Subject: later\r\n\r\n")
    assert status == "OK" and b"APPENDUID" in data[0], data

    # A header that is raw UTF-8, as some programs send it: the response must still be read as one.
    raw = "Subject: Käse\r\nContent-Disposition: attachment; filename=Käse\r\n\r\nx\r\n".encode()
    assert imap.append("Drafts", None, None, raw)[0] == "OK"
    assert imap.select("Drafts", readonly=True)[0] == "OK"
    status, data = imap.fetch("*", "(ENVELOPE BODYSTRUCTURE BODY[])")
    assert [part[1] for part in data[:-1]] == ["Käse".encode(), "Käse".encode(), raw], data
print("round trip done")

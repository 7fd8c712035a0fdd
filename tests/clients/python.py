"""IMAPClient and smtplib: argument 1 is the ready file of a running demo. (roundtrip.py does the same for imaplib.)

Proves of IMAPClient: logging in and being refused; mailboxes made, renamed, subscribed and listed with what they are for;
appending with flags and date, searching in UTF-8, fetching envelope, structure and sections; flags and keywords; copying,
moving and expunging by UID; idling while another connection adds and changes. Of smtplib: an address in UTF-8.
"""

import datetime
import smtplib

import imapclient
from imapclient.exceptions import LoginError
from imapclient.imapclient import DRAFTS, JUNK, SENT, TRASH

from stage import check, letter, play, wait_for

BOX = "Test/Größe & Maß"
WRITTEN = datetime.datetime(2003, 7, 1, 10, 52, 37)
FOREIGN = "σωκράτης@αθήνα.example"
# The server writes domains as DNS does.
ENVELOPE = f"σωκράτης@{'αθήνα.example'.encode('idna').decode()}"


def connected(demo):
    return imapclient.IMAPClient("localhost", demo.ports["imaps"], ssl_context=demo.tls)


def logged_in(demo, account):
    client = connected(demo)
    client.login(account.address, account.password)
    return client


def logins(demo):
    with connected(demo) as client:
        try:
            client.login(demo.plato.address, "wrong")
            check("a wrong password is refused", False)
        except LoginError as error:
            check("a wrong password is refused", "AUTHENTICATIONFAILED" in str(error), error)
        client.plain_login(demo.plato.address, demo.plato.password)
        check("AUTHENTICATE PLAIN works on the same connection", client.noop())


def mailboxes(client):
    names = lambda: [name for _, _, name in client.list_folders()]
    client.create_folder("Test/Before")
    client.rename_folder("Test/Before", BOX)
    check("a mailbox is made and renamed, with a name in UTF-7", BOX in names() and "Test/Before" not in names(), names())
    client.subscribe_folder(BOX)
    subscribed = [name for _, _, name in client.list_sub_folders()]
    check("it is subscribed to", BOX in subscribed, subscribed)
    client.unsubscribe_folder(BOX)
    special = {flag: client.find_special_folder(flag) for flag in (SENT, DRAFTS, TRASH, JUNK)}
    check("mailboxes say what they are for", special == {SENT: "Sent", DRAFTS: "Drafts", TRASH: "Trash", JUNK: "Junk"}, special)


def appends(client, count=5):
    for n in range(count):
        message = letter(f"Número {n}", f"Ένα {n}\n", "plato@stoa.localhost")
        message.add_attachment(bytes(range(256)), maintype="application", subtype="octet-stream", filename="café.bin")
        said = client.append(BOX, message.as_bytes(), flags=[imapclient.SEEN, "$Test"], msg_time=WRITTEN)
        check(f"message {n} is appended as UID {n + 1}", f"APPENDUID {client.folder_status(BOX)[b'UIDVALIDITY']} {n + 1}".encode() in said, said)


def fetches(client):
    selected = client.select_folder(BOX)
    check("the mailbox opens with its numbers", (selected[b"EXISTS"], selected[b"UIDNEXT"]) == (5, 6), selected)
    found = client.search(["SUBJECT", "número 3"], charset="UTF-8")
    check("a search in UTF-8 finds the one", found == [4], found)
    check("a keyword is found, too", client.search(["KEYWORD", "$Test", "SEEN"]) == [1, 2, 3, 4, 5])
    answer = client.fetch([4], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[1]", "BODY[]"])[4]
    envelope = answer[b"ENVELOPE"]
    check("the envelope names the sender", envelope.from_[0].mailbox == b"crito", envelope)
    check("the structure has two parts", answer[b"BODYSTRUCTURE"].is_multipart and len(answer[b"BODYSTRUCTURE"][0]) == 2, answer[b"BODYSTRUCTURE"])
    check("flags and keyword are there", {b"\\Seen", b"$Test"} <= set(answer[b"FLAGS"]), answer[b"FLAGS"])
    check("the size is that of the message", answer[b"RFC822.SIZE"] == len(answer[b"BODY[]"]), answer[b"RFC822.SIZE"])
    check("the date is the one that was given", answer[b"INTERNALDATE"] == WRITTEN, answer[b"INTERNALDATE"])


def marks(client):
    client.add_flags([1, 2], [imapclient.FLAGGED])
    client.remove_flags([2], [imapclient.FLAGGED, imapclient.SEEN])
    client.set_flags([3], [imapclient.ANSWERED])
    flags = {uid: set(flags) - {imapclient.RECENT} for uid, flags in client.get_flags([1, 2, 3]).items()}
    want = {1: {b"\\Seen", b"\\Flagged", b"$Test"}, 2: {b"$Test"}, 3: {b"\\Answered"}}
    check("flags are added, removed and set", flags == want, flags)


def moves(client):
    client.copy([1], "Archive")
    client.move([2, 3], "Archive")
    check("moved messages are gone from here", client.search("ALL") == [1, 4, 5], client.search("ALL"))
    client.delete_messages([1, 4])
    client.uid_expunge([4])
    check("UID EXPUNGE takes one of two that are marked", client.search("ALL") == [1, 5], client.search("ALL"))
    client.select_folder("Archive")
    filed = client.search(["SUBJECT", "Número"], charset="UTF-8")
    check("three are in the other mailbox", len(filed) == 3, filed)
    client.delete_messages(filed)
    client.uid_expunge(filed)


def idles(demo, client):
    told = lambda: client.idle_check(timeout=1)
    heard = []
    client.select_folder(BOX)
    client.idle()
    with logged_in(demo, demo.plato) as other:
        other.append(BOX, b"Subject: new\r\n\r\n")
        wait_for("EXISTS", lambda: heard.extend(told()) or (3, b"EXISTS") in heard)
        other.select_folder(BOX)
        other.add_flags([5], [imapclient.FLAGGED])
        wait_for("FETCH", lambda: heard.extend(told()) or any(line[0] == 2 and line[1] == b"FETCH" for line in heard if len(line) > 2))
        other.delete_messages([5])
        other.uid_expunge([5])
        wait_for("EXPUNGE", lambda: heard.extend(told()) or (2, b"EXPUNGE") in heard)
    client.idle_done()
    check("while idling it is told of a new message, a flag and a removal", True)
    check("afterwards the connection goes on", client.search("ALL") == [1, 6], client.search("ALL"))


def international(demo):
    """Mail for the outside is caught by the demo in a mailbox of the owner."""
    message = letter("Test: φιλία", "Χαῖρε.\n", FOREIGN, sender=demo.socrates.address)
    with smtplib.SMTP_SSL("localhost", demo.ports["submissions"], context=demo.tls) as smtp:
        smtp.login(demo.socrates.address, demo.socrates.password)
        check("smtplib hands in a message for an address in UTF-8", smtp.send_message(message) == {})
    try:
        with demo.imap(demo.socrates) as imap:
            wait_for("the demo to catch it", lambda: imap.select("Outside")[0] == "OK" and imap.search(None, "SUBJECT", '"Test: "')[1] != [b""])
        _, _, content = demo.arrived(demo.socrates, "Test: ", "Outside")
        check("the address is whole", f"X-Envelope-To: <{ENVELOPE}>\r\n".encode() in content, content)
    finally:
        demo.remove(demo.socrates, "Test: ", "Outside")


def prove(demo, home):
    logins(demo)
    try:
        with logged_in(demo, demo.plato) as client:
            mailboxes(client)
            appends(client)
            fetches(client)
            marks(client)
            moves(client)
            idles(demo, client)
    finally:
        with logged_in(demo, demo.plato) as client:
            for name in sorted((name for _, _, name in client.list_folders("", "Test*")), reverse=True):
                client.delete_folder(name)
    international(demo)


play(prove)

"""Extensions of IMAP, spoken by hand: argument 1 is the ready file of a running demo.

Each is tried if the server offers it after login, and then has to be right; one that is not offered is said to be skipped.
RFCs 2971 (ID), 2342 (NAMESPACE), 5161 (ENABLE), 4731 (ESEARCH), 5256 (SORT, THREAD), 5819 (LIST-STATUS), 7162 (CONDSTORE,
QRESYNC), 4978 (COMPRESS), 6855 and 9755 (UTF8=ACCEPT).
"""

import re

from stage import check, play, skip
from wire import Wire

BOX, GREEK = "Extensions", "Συμπόσιον"
# Sender, subject, day, message that it answers; the UID is the place.
MESSAGES = [
    ("crito", "figs", 4, None), ("agathon", "Supper", 2, None), ("plato", "Re: Supper", 3, 2), ("phaedo", "apples", 1, None), ("crito", "Re: supper", 5, 3),
]


def message(uid, sender, subject, day, answers):
    fields = [f"From: {sender}@example.net", f"Subject: {subject}", f"Date: {day} Jul 2003 10:00:00 +0000", f"Message-ID: <{uid}@example.net>"]
    if answers:
        fields.append(f"References: <{answers}@example.net>")
    return "\r\n".join([*fields, "", f"{subject}, said {sender}. " + "Well said. " * 200, ""]).encode()


def number(what, lines):
    found = re.search(rf"\b{what} \(?(\d+)", "\n".join(lines))
    check(f"the server tells {what}", found, lines)
    return int(found[1])


def uids(lines):
    return sorted(int(found[1]) for line in lines if (found := re.match(r"\* \d+ FETCH .*\bUID (\d+)", line)))


def identifies(imap):
    lines = imap.command('ID ("name" "stoa-test" "version" NIL)')
    check("ID is answered with the server's name", any(re.match(r'\* ID \("name" ', line) for line in lines), lines)


def namespace(imap):
    lines = imap.command("NAMESPACE")
    check("NAMESPACE names the personal one", lines[0].startswith('* NAMESPACE (("" "/")) '), lines)


def enables(imap):
    lines = imap.command("ENABLE X-NOBODY-KNOWS-IT")
    check("ENABLE enables nothing that is unknown", all(line.rstrip() == "* ENABLED" for line in lines[:-1]), lines)


def list_status(imap):
    lines = imap.command(f'LIST "" "{BOX}" RETURN (STATUS (MESSAGES UIDNEXT))')
    listed, counted = (any(re.match(rf"\* {what} .*\b{BOX}\b", line) for line in lines) for what in ("LIST", "STATUS"))
    check("LIST-STATUS lists and counts", listed and counted, lines)
    check("its counts are right", (number("MESSAGES", lines), number("UIDNEXT", lines)) == (5, 6), lines)


def esearch(imap):
    imap.command(f"EXAMINE {BOX}")
    lines = imap.command("UID SEARCH RETURN (MIN MAX COUNT ALL) FROM crito")
    (found,) = (line for line in lines if line.startswith("* ESEARCH"))
    check("ESEARCH is for the command and in UIDs", re.match(r'\* ESEARCH \(TAG "t\d+"\) UID ', found), found)
    check("ESEARCH gives all four", all(part in found for part in ("MIN 1", "MAX 5", "COUNT 2")) and re.search(r"ALL (1,5|5,1)", found), found)
    lines = imap.command("SEARCH RETURN (COUNT) SUBJECT nothing-of-the-kind")
    check("ESEARCH counts none", any(line.endswith("COUNT 0") for line in lines), lines)


def sorts(imap):
    imap.command(f"EXAMINE {BOX}")
    orders = {"SUBJECT": "4 1 2 3 5", "DATE": "4 2 3 1 5", "REVERSE DATE": "5 1 3 2 4", "FROM ARRIVAL": "2 1 5 4 3", "REVERSE FROM DATE": "3 4 1 5 2"}
    for keys, want in orders.items():
        lines = imap.command(f"UID SORT ({keys}) UTF-8 ALL")
        check(f"SORT ({keys}) is right", f"* SORT {want}" in lines, lines)


def threads(imap):
    imap.command(f"EXAMINE {BOX}")
    lines = imap.command("UID THREAD REFERENCES UTF-8 ALL")
    check("THREAD REFERENCES puts answers below", lines[0] == "* THREAD (4)(2 3 5)(1)", lines)


def compresses(imap):
    imap.compress()
    imap.command(f"EXAMINE {BOX}")
    lines = imap.command("UID FETCH 1:* (UID BODY.PEEK[])")
    check("COMPRESS brings whole messages", uids(lines) == [1, 2, 3, 4, 5] and all("Well said. " * 200 in line for line in lines[:5]), lines)
    text = "squeezed " * 10_000
    lines = imap.command(f"APPEND {BOX} ", f"Subject: long\r\n\r\n{text}\r\n".encode())
    check("COMPRESS takes a long message", "APPENDUID" in lines[-1], lines)
    end = imap.answer("COMPRESS DEFLATE")[-1]
    check("COMPRESS is refused a second time", end.startswith("NO [COMPRESSIONACTIVE]"), end)


def condstore(imap):
    lines = imap.command(f"SELECT {BOX} (CONDSTORE)")
    before = number("HIGHESTMODSEQ", lines)
    first = number("MODSEQ", imap.command("UID FETCH 1 (MODSEQ)"))
    check("no message is newer than the mailbox", first <= before, (first, before))
    changed = number("MODSEQ", imap.command(rf"UID STORE 1 (UNCHANGEDSINCE {first}) +FLAGS (\Flagged)"))
    check("a change makes it newer", changed > before, (changed, before))
    lines = imap.command(rf"UID STORE 1 (UNCHANGEDSINCE {first}) +FLAGS (\Answered)")
    check("a change of what was changed since is refused", "[MODIFIED 1]" in lines[-1], lines)
    lines = imap.command("UID FETCH 1 (FLAGS)")
    check("and not made", "\\Answered" not in lines[0] and "\\Flagged" in lines[0], lines)
    lines = imap.command(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")
    check("CHANGEDSINCE gives what was changed alone", uids(lines) == [1] and f"MODSEQ ({changed})" in lines[0], lines)
    lines = imap.command(f"UID SEARCH MODSEQ {changed}")
    check("so does a search", f"* SEARCH 1 (MODSEQ {changed})" in lines, lines)
    check("and STATUS", number("HIGHESTMODSEQ", imap.command(f"STATUS {BOX} (HIGHESTMODSEQ)")) == changed)


def qresync(imap):
    lines = imap.command("ENABLE QRESYNC")
    check("QRESYNC is enabled", any(line.startswith("* ENABLED") and "QRESYNC" in line for line in lines), lines)
    lines = imap.command(f"SELECT {BOX}")
    validity, before = number("UIDVALIDITY", lines), number("HIGHESTMODSEQ", lines)
    imap.command(r"UID STORE 2 +FLAGS (\Flagged)")
    imap.command(r"UID STORE 3:4 +FLAGS.SILENT (\Deleted)")
    lines = imap.command("UID EXPUNGE 3:4")
    check("a removal is told as VANISHED", "* VANISHED 3:4" in lines and not any("EXPUNGE" in line for line in lines[:-1]), lines)
    lines = imap.command(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before} VANISHED)")
    check("FETCH tells what vanished and what changed", "* VANISHED (EARLIER) 3:4" in lines and uids(lines) == [2], lines)
    imap.command("CLOSE")
    lines = imap.command(f"SELECT {BOX} (QRESYNC ({validity} {before}))")
    check("so does SELECT", "* VANISHED (EARLIER) 3:4" in lines and uids(lines) == [2], lines)
    lines = imap.command(f"SELECT {BOX} (QRESYNC ({validity + 1} {before}))")
    check("another UIDVALIDITY gets nothing of it", not any("VANISHED" in line or " FETCH " in line for line in lines), lines)


def utf8(imap):
    lines = imap.command("ENABLE UTF8=ACCEPT")
    check("UTF8=ACCEPT is enabled", any(line.startswith("* ENABLED") and "UTF8=ACCEPT" in line for line in lines), lines)
    imap.command(f'CREATE "{BOX}/{GREEK}"')
    lines = imap.command(f'LIST "" "{BOX}/*"')
    check("a mailbox is made and listed in UTF-8", any(f"{BOX}/{GREEK}" in line for line in lines), lines)
    content = f"From: Σωκράτης <σωκράτης@example.net>\r\nSubject: {GREEK}\r\n\r\nΧαῖρε.\r\n".encode()
    imap.command(f'APPEND "{BOX}/{GREEK}" ', content)
    imap.command(f'APPEND "{BOX}/{GREEK}" UTF8 (~', content, ")")
    imap.command(f'SELECT "{BOX}/{GREEK}"')
    lines = imap.command("FETCH 1:2 (ENVELOPE BODY[])")
    whole = [line for line in lines if content.decode() in line and line.count(GREEK) == 2]
    check("messages with headers in UTF-8 come back so, and in the envelope", len(whole) == 2, lines)
    lines = imap.command(f'SEARCH SUBJECT "{GREEK}"')
    check("a search in UTF-8 finds them", "* SEARCH 1 2" in lines, lines)
    check("another charset is refused", imap.answer("SEARCH CHARSET US-ASCII ALL")[-1].startswith("BAD"))


TRIALS = {
    "ID": identifies, "NAMESPACE": namespace, "ENABLE": enables, "LIST-STATUS": list_status, "ESEARCH": esearch, "SORT": sorts,
    "THREAD=REFERENCES": threads, "COMPRESS=DEFLATE": compresses, "CONDSTORE": condstore, "QRESYNC": qresync, "UTF8=ACCEPT": utf8,
}


def tries(demo, name, trial):
    """On mailboxes and a connection of its own."""
    with Wire(demo, demo.plato) as imap:
        imap.command(f"CREATE {BOX}")
        try:
            for uid, parts in enumerate(MESSAGES, 1):
                imap.command(f"APPEND {BOX} ", message(uid, *parts))
            with Wire(demo, demo.plato) as other:
                trial(other)
        finally:
            listed = imap.command(f'LIST "" "{BOX}*"')[:-1]
            for line in sorted(listed, reverse=True):
                imap.command(f"DELETE {line.rsplit(' ', 1)[1]}")


def prove(demo, home):
    with Wire(demo, demo.plato) as imap:
        offered = imap.command("CAPABILITY")[0].split()[2:]
    for name, trial in TRIALS.items():
        if name in offered:
            tries(demo, name, trial)
        else:
            skip(name, "the server does not offer it")


play(prove)

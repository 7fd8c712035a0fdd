"""mbsync (isync) keeps a Maildir and an account alike, with the settings of docs/clients.md: argument 1 is the ready file.

Proves: all mailboxes come down whole. Flags set, messages added and messages deleted on either side reach the other, twice;
then both sides are the same message by message and flag by flag. A sync after that changes nothing on either side.
"""

import email
import mailbox
import re

from stage import check, documented, good, letter, play, replaced, run

BOX = "Ships"
MESSAGES = 8
# What is left of them, with what both sides added in two rounds.
AT_LAST = {
    b"Ship 0": (), b"Ship 3": (), b"Ship 4": (), b"Ship 7": ("\\Seen",),
    b"From the server, 1": ("\\Answered",), b"From the server, 2": ("\\Answered",),
    b"From the Maildir, 1": ("\\Flagged", "\\Seen"), b"From the Maildir, 2": ("\\Flagged", "\\Seen"),
}
# As in a name of a file in a Maildir.
FLAGS = {"S": "\\Seen", "F": "\\Flagged", "R": "\\Answered", "D": "\\Draft", "T": "\\Deleted"}


def settings(demo, home):
    """The documented ones for this demo's ports, with its authority and the password at hand."""
    path = home / "mbsyncrc"
    path.write_text(replaced(documented("mbsync"), {
        "Host mail.example.org": f"Host localhost\nPort {demo.ports['imaps']}\nCertificateFile {demo.ca_file}",
        "User john@example.org": f"User {demo.plato.address}",
        "PassCmd \"pass mail\"": f"Pass {demo.plato.password}",
        "~/Mail/": f"{home}/Mail/",
    }))
    (home / "Mail").mkdir()
    return path


def identity(octets):
    """A message without what the program adds to find it again, and without the form of its line ends."""
    text = octets.replace(b"\r\n", b"\n")
    return re.sub(rb"^X-TUID: .*\n", b"", text, count=1, flags=re.M)


def here(home, name):
    folder = home / "Mail" / name
    box = mailbox.Maildir(folder, factory=None, create=False)
    return sorted((identity(box.get_bytes(key)), tuple(sorted(FLAGS[f] for f in box[key].get_flags()))) for key in box.keys())


def there(imap, name):
    (count,) = good(imap.select(f'"{name}"', readonly=True))
    if count == b"0":
        return []
    answers = good(imap.fetch("1:*", "(FLAGS BODY.PEEK[])"))
    return sorted(parsed(answers))


def parsed(answers):
    """imaplib gives (what stood before the message, message), then what stood after."""
    for n, part in enumerate(answers):
        if isinstance(part, tuple):
            told = (part[0] + b" " + (answers[n + 1] if n + 1 < len(answers) and isinstance(answers[n + 1], bytes) else b"")).decode()
            # A Maildir has a letter for no other flag, and none for keywords.
            yield identity(part[1]), tuple(sorted(flag for flag in FLAGS.values() if flag in told))


def names(imap):
    return sorted(re.search(rb'"([^"]*)"$', line)[1].decode() for line in good(imap.list()))


def alike(demo, home, when):
    with demo.imap(demo.plato) as imap:
        boxes = names(imap)
        check(f"{when}: the same mailboxes are on both sides", boxes == folders(home), (boxes, folders(home)))
        for name in boxes:
            mine, theirs = here(home, name), there(imap, name)
            check(f"{when}: {name} is the same on both sides ({len(theirs)} messages)", mine == theirs, (mine, theirs))


def folders(home):
    return sorted(str(path.parent.relative_to(home / "Mail")) for path in (home / "Mail").glob("**/cur"))


def on_the_server(demo, rounds):
    """Flags one message and then takes that back, deletes another, adds a third."""
    with demo.imap(demo.plato) as imap:
        good(imap.select(BOX))
        good(imap.store("1", "+FLAGS" if rounds == 1 else "-FLAGS", r"(\Flagged)"))
        good(imap.store("2", "+FLAGS", r"(\Deleted)"))
        good(imap.expunge())
        good(imap.append(BOX, r"(\Answered)", None, letter(f"From the server, {rounds}", "Text\n", "plato@stoa.localhost").as_bytes()))


def in_the_maildir(home, rounds):
    """The same to the newest of the first messages, which the server's round leaves alone."""
    box = mailbox.Maildir(home / "Mail" / BOX, factory=None, create=False)
    subjects = {email.message_from_bytes(box.get_bytes(key))["Subject"]: key for key in box.keys()}
    first, second = (subjects[subject] for subject in sorted(subjects, reverse=True)[:2])
    message = box[first]
    message.set_flags("FRS" if rounds == 1 else "S")
    box[first] = message
    box.remove(second)
    new = mailbox.MaildirMessage(letter(f"From the Maildir, {rounds}", "Ä\n", "plato@stoa.localhost"))
    new.set_flags("FS")
    new.set_subdir("cur")
    box.add(new)


def state(demo, home):
    """Everything that a sync could have touched: the server's numbers and flags, the Maildir's names of files and times."""
    with demo.imap(demo.plato) as imap:
        items = "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN" + (" HIGHESTMODSEQ)" if b"CONDSTORE" in good(imap.capability())[0] else ")")
        boxes = [(name, good(imap.status(f'"{name}"', items)), there(imap, name)) for name in names(imap)]
    return boxes, sorted((str(path), path.stat().st_mtime_ns) for path in (home / "Mail").glob("**/cur/*"))


def fill(demo):
    with demo.imap(demo.plato) as imap:
        good(imap.create(BOX))
        for n in range(MESSAGES):
            good(imap.append(BOX, None, None, letter(f"Ship {n}", f"Sails {n}\n", demo.plato.address).as_bytes()))


def both_ways(demo, home, sync):
    sync()
    alike(demo, home, "at first")
    for rounds in (1, 2):
        on_the_server(demo, rounds)
        in_the_maildir(home, rounds)
        sync()
        alike(demo, home, f"round {rounds}")
    flags = {subject: flags for text, flags in here(home, BOX) for subject in re.findall(rb"^Subject: (.*)$", text, re.M)}
    check("what was changed is what is there", flags == AT_LAST, flags)


def prove(demo, home):
    rc = settings(demo, home)
    sync = lambda: run("mbsync", "-c", rc, "-a")
    try:
        fill(demo)
        both_ways(demo, home, sync)
        before = state(demo, home)
        sync()
        check("a sync with nothing to do changes nothing", state(demo, home) == before)
    finally:
        with demo.imap(demo.plato) as imap:
            imap.delete(BOX)


play(prove, "mbsync")

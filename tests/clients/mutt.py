"""mutt and NeoMutt, with the settings of docs/clients.md and nothing else: argument 1 is the ready file of a running demo.

Proves of each: it submits mail from the command line; in its window (tmux) it lists a mailbox, shows a message, flags it,
moves it to Trash, and writes a message of which it files a copy in Sent. What it did is looked up over IMAP.
"""

import os
import shlex
import subprocess

from stage import Failed, check, documented, play, replaced, run, wait_for

COLUMNS, LINES = "100", "30"
# If it were offered on submission both would choose it, built with GNU SASL as in Debian, and neither can finish it.
UNFINISHED = "SCRAM-SHA-256-PLUS"
# NeoMutt shows first which mailboxes it was told of, and folders that there are after Tab.
LIST_FOLDERS = {"mutt": ("c", "?"), "neomutt": ("c", "?", "Tab")}

# What docs/clients.md says of copies in Sent when there is no window.
COPIES = {"mutt": 1, "neomutt": 0}


class Window:
    """A terminal of its own for one program."""

    def __init__(self, socket, *command):
        self.tmux = ["tmux", "-S", str(socket), "-f", os.devnull]
        run(*self.tmux, "new-session", "-d", "-x", COLUMNS, "-y", LINES, shlex.join(map(str, command)))

    def screen(self):
        return subprocess.run([*self.tmux, "capture-pane", "-p"], capture_output=True, encoding="utf-8").stdout

    def keys(self, *keys):
        run(*self.tmux, "send-keys", *keys)

    def shows(self, text):
        wait_for(f"the window to show {text!r}", lambda: text in self.screen())

    def gone(self):
        wait_for("the program to end", lambda: subprocess.run([*self.tmux, "has-session"], capture_output=True).returncode)

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], capture_output=True)


def settings(demo, home):
    """The documented ones for this demo's ports. Only the password and the authority are added, which a person types."""
    local = replaced(documented("mutt and NeoMutt"), {
        "imaps://john%40example.org@mail.example.org/": f"imaps://socrates%40stoa.localhost@localhost:{demo.ports['imaps']}/",
        "smtps://john%40example.org@mail.example.org/": f"smtps://socrates%40stoa.localhost@localhost:{demo.ports['submissions']}/",
        "john@example.org": demo.socrates.address,
    })
    passwords = f'set imap_pass = "{demo.socrates.password}"\nset smtp_pass = "{demo.socrates.password}"\n'
    path = home / "muttrc"
    path.write_text(f'{local}{passwords}set certificate_file = "{demo.ca_file}"\n')
    return path


def sends(demo, command, tag):
    run(*command, "-s", f"{tag} by hand", "--", demo.plato.address, text="From the command line: Σωκράτης\n")
    _, _, content = demo.arrived(demo.plato, f"{tag} by hand")
    check(f"{tag}: the text came through", "Σωκράτης".encode() in content or b"=CE=A3" in content, content)
    copies = demo.found(demo.socrates, f"{tag} by hand", "Sent")
    check(f"{tag}: from the command line it files {COPIES[command[0]]} copies in Sent", len(copies) == COPIES[command[0]], copies)


def reads(demo, window, tag):
    window.shows("Msgs:")
    window.shows(f"{tag} to read")
    window.keys("/", f"{tag} to read", "Enter")
    window.keys("Enter")
    window.shows("Know thyself")
    window.keys("i", "F", "$")
    kept = lambda: (found := demo.found(demo.socrates, f"{tag} to read")) and {"\\Seen", "\\Flagged"} <= found[0][1]
    wait_for("the flags on the server", kept)
    check(f"{tag}: reading and flagging set \\Seen and \\Flagged", True)


def lists_folders(window, program, tag):
    window.keys(*LIST_FOLDERS[program])
    for name in ("INBOX", "Archive", "Drafts", "Sent", "Trash"):
        window.shows(name)
    window.keys("q")
    window.shows("Msgs:")
    check(f"{tag}: the list of folders is shown", True)


def deletes(demo, window, tag):
    window.keys("/", f"{tag} to delete", "Enter", "d", "$")
    window.shows("Purge 1 deleted message?")
    window.keys("y")
    wait_for("the message to leave INBOX", lambda: not demo.found(demo.socrates, f"{tag} to delete"))
    demo.arrived(demo.socrates, f"{tag} to delete", "Trash")


def writes(demo, window, tag):
    window.keys("m")
    window.shows("To:")
    window.keys(demo.plato.address, "Enter")
    window.shows("Subject:")
    window.keys(f"{tag} in the window", "Enter")
    window.shows("y:Send")
    window.keys("y")
    demo.arrived(demo.plato, f"{tag} in the window")
    demo.arrived(demo.socrates, f"{tag} in the window", "Sent")


def in_a_window(demo, home, command, tag):
    editor = home / "editor"
    editor.write_text('#!/bin/sh\necho "Written by an editor." >> "$1"\n')
    editor.chmod(0o700)
    window = Window(home / "tmux", *command, "-e", f"set editor={editor}", "-e", "set recall=no")
    try:
        reads(demo, window, tag)
        lists_folders(window, command[0], tag)
        deletes(demo, window, tag)
        writes(demo, window, tag)
        window.keys("q")
        window.gone()
    except Failed:
        print(window.screen())
        raise
    finally:
        window.close()


def uses(demo, home, program):
    tag = f"Test of {program}"
    command = [program, "-n", "-F", settings(demo, home)]
    offers = demo.submission_offers()
    check(f"{tag}: nothing is offered that it would take and could not finish", UNFINISHED not in offers, offers)
    try:
        for what in ("to read", "to delete"):
            demo.deliver(demo.socrates, f"{tag} {what}", "Know thyself.\n")
        sends(demo, command, tag)
        in_a_window(demo, home, command, tag)
    finally:
        demo.remove(demo.socrates, tag, "INBOX", "Sent", "Trash")
        demo.remove(demo.plato, tag, "INBOX")


def prove(demo, home):
    os.chdir(home)
    for program in ("mutt", "neomutt"):
        uses(demo, home, program)


play(prove, "mutt", "neomutt", "tmux")

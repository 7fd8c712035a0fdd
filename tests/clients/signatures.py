"""dkimpy checks our signatures: argument 1 is the ready file of a running demo, whose program is asked to sign.

Proves: messages of every shape that `stoa keys sign` signs are valid for dkimpy, both by RSA and by Ed25519, with the records
that `stoa dns` prints; a changed text, subject or added From is not. `signatures.py --write FOLDER` makes the signed messages of
tests/dkim, which `make test` checks the other way round.
"""

import base64
import pathlib
import random
import re
import subprocess
import sys

import dkim
from nacl.signing import SigningKey

from stage import check, play

ROUNDS = 60
SEED = 6376
# The keys of RFC 8463, appendix A.2, which everybody knows; the RSA key of its A.3 has 1,024 bits.
SEED_ED25519 = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
SIGNED_FIELDS = [b"From", b"To", b"Subject", b"Date"]
HEADER = b"From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n" \
    b"Subject: Is  dinner\r\n\t ready? \r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\r\n"
CASES = {
    "plain": b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n",
    "empty": b"",
    "empty-lines": b"\r\n\r\n\r\n",
    "end-of-white-space": b"Hi.\r\n \t\r\n  \r\n",
    "white-space-alone": b" \t\r\n",
    "white-space-within": b"  Hi. \t you \r\n\t\r\n\tJoe\t\t.\r\n\r\n",
    "eight-bit": "Grüße  aus Συρακούσαι. \r\n".encode(),
}


def shapes(dice):
    """A message as nobody would write it, but might."""
    words = ["hello", " ", "  ", "\t", "é", "=20", "x" * 70, ":", ";", ""]
    text = lambda n: "".join(dice.choice(words) for _ in range(dice.randrange(n)))
    fields = [f"{name}:{dice.choice(['', ' ', '  ', chr(9)])}{text(6)}" for name in dice.sample(
        ["Subject", "To", "CC", "date", "Message-ID", "Content-Type", "List-Id", "Reply-To", "X-Other", "Received"], dice.randrange(9))]
    fields = [field + "\r\n\tfolded " + text(3).strip("\t ") + "." if dice.random() < 0.3 else field for field in fields]
    fields.insert(dice.randrange(len(fields) + 1), "From: John <john@example.org>")
    body = "\r\n".join(text(8) for _ in range(dice.randrange(6)))
    return ("\r\n".join(fields) + "\r\n\r\n" + body + "\r\n" * dice.randrange(1, 4)).encode()


def verdicts(message, records):
    """What dkimpy says of each signature."""
    def verdict(index):
        try:
            return dkim.DKIM(message).verify(idx=index, dnsfunc=lambda name, timeout=5: records[name.decode().rstrip(".")])
        except dkim.ValidationError:
            return False

    count = len([name for name, _ in dkim.DKIM(message).headers if name.lower() == b"dkim-signature"])
    return [verdict(index) for index in range(count)]


def prove(demo, home):
    folder = home / "server"
    stoa = lambda *arguments, **options: subprocess.run(
        [demo.program, *arguments, "--dir", folder], check=True, capture_output=True, **options).stdout
    stoa("init", "john@example.org")
    records = {}
    for line in stoa("dns", "--zone").decode().splitlines():
        if match := re.match(r'(\S+\._domainkey\.\S+?)\.\s.*\bTXT\s+(.*)', line):
            records[match[1]] = "".join(re.findall(r'"([^"]*)"', match[2])).encode()
    check("two keys are printed for DNS", len(records) == 2, records)
    dice = random.Random(SEED)
    for round_ in range(ROUNDS):
        message = shapes(dice)
        signed = stoa("keys", "sign", input=message)
        said = verdicts(signed, records)
        if said != [True, True] or not signed.endswith(message):
            check(f"message {round_} of seed {SEED} is valid", False, (said, signed))
    check(f"{ROUNDS} messages are valid, by RSA and by Ed25519", True)
    signed = stoa("keys", "sign", input=b"From: john@example.org\r\nSubject: one\r\n\r\nHello.\r\n")
    for what, old, new in [
        ("text", b"Hello", b"Hallo"),
        ("subject", b"\nSubject: one", b"\nSubject: two"),
        ("author", b"\nSubject: one", b"\nFrom: x@y\r\nSubject: one"),
    ]:
        changed = signed.replace(old, new)
        check(f"another {what} is noticed", verdicts(changed, records) == [False, False], changed)


def write(folder):
    """The cases, signed by dkimpy with a key that everybody knows."""
    key = SigningKey(SEED_ED25519)
    public = base64.b64encode(bytes(key.verify_key))
    (folder / "records").write_bytes(b"brisbane._domainkey.football.example.com v=DKIM1; k=ed25519; p=" + public + b"\n")
    for name, body in CASES.items():
        for form in [b"relaxed", b"simple"]:
            field = dkim.DKIM(HEADER + body, signature_algorithm=b"ed25519-sha256").sign(
                b"brisbane", b"football.example.com", base64.b64encode(SEED_ED25519), canonicalize=(form, form), include_headers=SIGNED_FIELDS)
            # The time of signing is of no interest, but it is signed: it stays as it was.
            (folder / f"{name}-{form.decode()}.eml").write_bytes(field + HEADER + body)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(pathlib.Path(sys.argv[2]))
    else:
        play(prove)

"""IMAP compressed by zlib (RFC 4978), in all ways in which clients flush and write: argument 1 is the ready file of a demo."""

import imaplib
import json
import random
import ssl
import sys
import time
import zlib

ready = json.load(open(sys.argv[1]))
tls = ssl.create_default_context(cafile=ready["ca_file"])
socrates = next(a for a in ready["accounts"] if a["address"].startswith("socrates@"))
imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")
imaplib._MAXLINE = 100_000
noise = random.Random(1)

# Where a sync flush ends: Go's compress/flate gives its reader nothing before it has seen this.
MARKER = b"\0\0\xff\xff"


class Compressed(imaplib.IMAP4_SSL):
    """Signs in and compresses; `piece` bytes are written and read at once."""

    def __init__(self, flush, piece, level=6):
        self.flush, self.piece = flush, piece
        self.deflate, self.inflate = None, zlib.decompressobj(-15)
        self.text, self.last = b"", b""
        super().__init__(ready["host"], ready["ports"]["imaps"], ssl_context=tls, timeout=60)
        self.login(socrates["address"], socrates["password"])
        assert "COMPRESS=DEFLATE" in self.capability()[1][0].decode()
        assert self._simple_command("COMPRESS", "DEFLATE")[0] == "OK"
        self.deflate = zlib.compressobj(level, zlib.DEFLATED, -15)

    def send(self, data):
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(self.flush)
        self.write(data)

    def write(self, data):
        for start in range(0, len(data), self.piece):
            self.sock.sendall(data[start : start + self.piece])

    def fill(self):
        received = self.sock.recv(self.piece)
        if not received:
            raise EOFError
        self.last = (self.last + received)[-len(MARKER) :]
        self.text += self.inflate.decompress(received)
        assert not self.inflate.unconsumed_tail and not self.inflate.eof

    def read(self, size):
        if not self.deflate:
            return super().read(size)
        while len(self.text) < size:
            self.fill()
        taken, self.text = self.text[:size], self.text[size:]
        return taken

    def readline(self):
        if not self.deflate:
            return super().readline()
        while b"\n" not in self.text:
            self.fill()
        return self.read(self.text.index(b"\n") + 1)

    def is_flushed(self):
        """Whatever is left of an answer's last flush says nothing."""
        while self.last != MARKER:
            self.fill()
        assert self.text == b"", self.text


def ok(outcome):
    assert outcome[0] == "OK", outcome
    return outcome[1]


def converse(flush, piece, size):
    imap = Compressed(flush, piece)
    assert "COMPRESS" not in ok(imap.capability())[0].decode()
    imap.is_flushed()
    status, text = imap._simple_command("COMPRESS", "DEFLATE")
    assert status == "NO" and b"[COMPRESSIONACTIVE]" in text[0], (status, text)
    ok(imap.select("Drafts"))
    body = b"".join(b"%d %s\r\n" % (line, noise.randbytes(20).hex().encode()) for line in range(size // 45))
    letter = b"Subject: compressed\r\n\r\n" + body
    appended = ok(imap.append("Drafts", r"(\Draft)", None, letter))[0]
    uid = appended.split(b"]")[0].split()[-1].decode()
    imap.is_flushed()
    ok(imap.noop())
    fetched = ok(imap.uid("FETCH", uid, "(BODY.PEEK[])"))
    assert fetched[0][1] == letter
    imap.is_flushed()
    # Many commands in one flush.
    imap.send(b"".join(b"p%d NOOP\r\n" % n for n in range(50)))
    for n in range(50):
        assert imap.readline().startswith(b"p%d OK " % n)
    # The server gives back what an idle connection does not need; so much later both go on where they were.
    imap.send(b"i1 IDLE\r\n")
    assert imap.readline().startswith(b"+ ")
    imap.is_flushed()
    time.sleep(1.5)
    imap.send(b"DONE\r\n")
    assert imap.readline().startswith(b"i1 OK ")
    assert ok(imap.uid("FETCH", uid, "(BODY.PEEK[])"))[0][1] == letter
    assert imap.logout()[0] == "BYE"


def wait_for_end(imap):
    """TLS ends in order: without close_notify this would be an error."""
    while imap.sock.recv(1000):
        pass


for flush in (zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH):
    converse(flush, 1 << 20, 2_000_000)
    converse(flush, 1, 2_000)

# A long command is refused, and costs no memory on the way.
imap = Compressed(zlib.Z_SYNC_FLUSH, 1 << 20, 9)
imap.send(b"b1 NOOP " + b"x" * 50_000_000 + b"\r\nb2 NOOP\r\n")
assert imap.readline().startswith(b"b1 BAD ") and imap.readline().startswith(b"b2 OK ")

# A stream that ends is an end.
imap.write(imap.deflate.compress(b"b3 NOOP\r\n") + imap.deflate.flush(zlib.Z_FINISH))
assert imap.readline().startswith(b"b3 OK ")
wait_for_end(imap)

# So is what is no DEFLATE, such as a command in plain.
imap = Compressed(zlib.Z_SYNC_FLUSH, 1 << 20)
imap.write(b"c1 NOOP\r\n")
wait_for_end(imap)
assert imap.text == b""
print("compressed in all ways")

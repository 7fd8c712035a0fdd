"""One IMAP connection, spoken by hand: for what Python's clients do not know.

A command gives the untagged lines before its OK, each as text with its literals in place.
"""

import itertools
import re
import socket
import zlib

from stage import PATIENCE_SECONDS, Failed

CHUNK_BYTES = 65536
RAW_DEFLATE = -15


class Wire:
    def __init__(self, demo, account):
        plain = socket.create_connection(("localhost", demo.ports["imaps"]), timeout=PATIENCE_SECONDS)
        self.socket = demo.tls.wrap_socket(plain, server_hostname="localhost")
        self.kept, self.tags = b"", itertools.count(1)
        self.squeeze = self.expand = None
        self._line()
        self.command(f'LOGIN "{account.address}" "{account.password}"')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _more(self):
        data = self.socket.recv(CHUNK_BYTES)
        if not data:
            raise Failed("the server closed the connection")
        self.kept += self.expand.decompress(data) if self.expand else data

    def _line(self):
        """A line with its literals, without the last CRLF."""
        line = b""
        while True:
            while b"\r\n" not in self.kept:
                self._more()
            part, self.kept = self.kept.split(b"\r\n", 1)
            line += part
            literal = re.search(rb"\{(\d+)\}$", part)
            if not literal:
                return line.decode("utf-8", "replace")
            while len(self.kept) < (length := int(literal[1])):
                self._more()
            line, self.kept = line + b"\r\n" + self.kept[:length], self.kept[length:]

    def send(self, data):
        if self.squeeze:
            data = self.squeeze.compress(data) + self.squeeze.flush(zlib.Z_SYNC_FLUSH)
        self.socket.sendall(data)

    def answer(self, text, literal=None, after=""):
        """All that the server says to a command, the tagged line last."""
        tag = f"t{next(self.tags)}"
        octets = f"{tag} {text}".encode()
        if literal is not None:
            octets += b"{%d+}\r\n%s%s" % (len(literal), literal, after.encode())
        self.send(octets + b"\r\n")
        lines = [self._line()]
        while not lines[-1].startswith(f"{tag} "):
            lines.append(self._line())
        return [*lines[:-1], lines[-1].removeprefix(f"{tag} ")]

    def command(self, text, literal=None, after=""):
        *lines, end = self.answer(text, literal, after)
        if not end.startswith("OK"):
            raise Failed(f"{text} was answered with {end}")
        return [*lines, end]

    def compress(self):
        self.command("COMPRESS DEFLATE")
        self.squeeze, self.expand = zlib.compressobj(wbits=RAW_DEFLATE), zlib.decompressobj(wbits=RAW_DEFLATE)
        if self.kept:
            raise Failed("the server said something between its OK and compression")

"""An HTTP proxy that leads two hosts to the demo's web ports, and writes down and refuses everything else.

A program that has no way out but this one can be asked afterwards whom it wanted to reach.
"""

import http.server
import socket
import threading
import urllib.parse

CHUNK_BYTES = 65536


class Gate(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, ways):
        """`ways` maps (host, port) to the port of 127.0.0.1 that answers for it."""
        super().__init__(("127.0.0.1", 0), Visitor)
        self.ways, self.led, self.refused = ways, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def lead(self, host, port, what):
        """The port that answers, or none."""
        to = self.ways.get((host, port))
        (self.led if to else self.refused).append((host, port, what))
        return to


class Visitor(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self):
        host, _, port = self.path.rpartition(":")
        to = self.server.lead(host, int(port), "CONNECT")
        if to is None:
            return self.send_error(403)
        with socket.create_connection(("127.0.0.1", to)) as other:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pour, args=(other, self.connection), daemon=True)
            back.start()
            pour(self.connection, other)
            back.join()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        to = self.server.lead(url.hostname, url.port or 80, f"{self.command} {self.path}")
        if to is None:
            return self.send_error(403)
        with socket.create_connection(("127.0.0.1", to)) as other:
            target = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
            fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items() if "connection" not in name.lower())
            other.sendall(f"{self.command} {target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n".encode())
            pour(other, self.connection)
        self.close_connection = True

    do_POST = do_HEAD = do_GET

    def log_message(self, *_):
        """It has its own lists."""


def pour(source, drain):
    try:
        while data := source.recv(CHUNK_BYTES):
            drain.sendall(data)
        drain.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # One side is gone; so is the conversation.

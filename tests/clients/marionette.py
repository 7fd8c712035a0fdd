"""Mozilla's Marionette, as much of it as a test needs: scripts in the program's own windows, and pictures of them.

A message is its length in decimal, a colon and JSON: `[0, id, command, parameters]` one way, `[1, id, error, result]` back.
"""

import base64
import itertools
import json
import socket


class ScriptError(Exception):
    """What the program said of a script that failed in it."""


class Marionette:
    def __init__(self, port, patience_seconds):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience_seconds)
        self.stream, self.ids = self.socket.makefile("rwb"), itertools.count(1)
        self._receive()  # It introduces itself.
        self.command("WebDriver:NewSession", {"capabilities": {}})
        self.command("Marionette:SetContext", {"value": "chrome"})
        self.command("WebDriver:SetTimeouts", {"script": int(patience_seconds * 900)})

    def _receive(self):
        length = b""
        while not length.endswith(b":"):
            if not (octet := self.stream.read(1)):
                raise ScriptError("the program ended the conversation")
            length += octet
        return json.loads(self.stream.read(int(length[:-1])))

    def command(self, name, parameters=None):
        data = json.dumps([0, next(self.ids), name, parameters or {}]).encode()
        self.stream.write(b"%d:%s" % (len(data), data))
        self.stream.flush()
        _, _, error, result = self._receive()
        if error:
            raise ScriptError(f"{error['error']}: {error['message']}")
        return result

    def script(self, text, *arguments):
        """Runs the body of an async function in the main window; gives what it returns."""
        body = "const done = arguments[arguments.length - 1], given = [...arguments].slice(0, -1);\n" \
            f"(async () => {{ {text} }})().then(value => done([true, value]), error => done([false, String(error)]));"
        good, value = self.command("WebDriver:ExecuteAsyncScript", {"script": body, "args": list(arguments)})["value"]
        if not good:
            raise ScriptError(value)
        return value

    def picture(self):
        """What the window shows, as PNG."""
        return base64.b64decode(self.command("WebDriver:TakeScreenshot", {"full": False})["value"])

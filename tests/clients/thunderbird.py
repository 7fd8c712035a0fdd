"""Thunderbird with a fresh profile on a display of its own: argument 1 is the ready file of a running demo.

Proves: from name, address and password alone its dialogue finds the settings at our autoconfig address and makes the
account; the messages of INBOX appear; one that comes by SMTP appears by IDLE while nobody touches anything; it sends a
message and files a copy in Sent. A picture of the window goes to STOA_PICTURE, or else to a temporary folder that is named.
No preference about accounts is changed. Thunderbird has one way out: a gate that leads the web ports of the mail domain to
the demo's and refuses all others, and at the end it is said whom it asked for. The demo's authority is made known to it, as
a certificate that the world trusts would be. Every key and click goes through Marionette into its real windows.
"""

import os
import pathlib
import re
import subprocess
import tempfile
from contextlib import contextmanager

from gate import Gate
from marionette import Marionette
from stage import PATIENCE_SECONDS, Failed, check, play, wait_for

DOMAIN = "stoa.localhost"
SCREEN = "1280x900x24"
NEW = "Test: it came by itself"
SENT = "Test: sent by Thunderbird"
# Of all these only the way out is a setting; the rest lets a test hold on to the program.
PREFERENCES = """\
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", {port});
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", {port});
user_pref("network.proxy.no_proxies_on", "");
user_pref("network.proxy.allow_hijacking_localhost", true);
user_pref("remote.prefs.recommended", false);
user_pref("marionette.port", 0);
"""
TRUST = """
    const base64 = given[0].replace(/-----[^-]+-----|\\s/g, "");
    Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(base64, "C,,");
"""
# What the person sees of the dialogue, which lies in a shadow tree.
STEP = """
    const hub = document.querySelector("account-hub-container").modal;
    const step = hub.open && [...hub.querySelectorAll(".account-hub-step")].find(step => !step.hidden);
    return step ? [step.id, step.shadowRoot.textContent + step.textContent] : null;
"""
PART = "return document.querySelector('account-hub-container').modal.querySelector(`account-hub-email ${given[0]}`);"
ENABLED = "return !document.querySelector('account-hub-container').modal.querySelector('account-hub-email #forward').disabled;"
ACCOUNT = """
    const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
    const server = MailServices.accounts.accounts.map(account => account.incomingServer).find(server => server.type == "imap");
    const outgoing = MailServices.outgoingServer.defaultServer.QueryInterface(Ci.nsISmtpServer);
    return [server.hostname, server.port, server.socketType, server.authMethod, server.username,
        outgoing.hostname, outgoing.port, outgoing.socketType, outgoing.authMethod, outgoing.username];
"""
TLS, NORMAL_PASSWORD = 3, 3
OPEN_INBOX = """
    const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
    const server = MailServices.accounts.accounts.map(account => account.incomingServer).find(server => server.type == "imap");
    const tabs = document.getElementById("tabmail");
    tabs.switchToTab(0);
    tabs.currentAbout3Pane.displayFolder(server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
"""
ROWS = """
    const rows = document.getElementById("tabmail").currentAbout3Pane.document.querySelectorAll("#threadTree tbody tr");
    return [...rows].map(row => row.textContent.trim().replace(/\\s+/g, " "));
"""
SHOW_FIRST = "document.getElementById('tabmail').currentAbout3Pane.threadTree.selectedIndex = 0;"
SHOWN = """
    const message = document.getElementById("tabmail").currentAboutMessage;
    return message?.getMessagePaneBrowser()?.contentDocument?.body?.textContent ?? "";
"""
SEND = """
    const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
    const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
    [fields.to, fields.subject, fields.body] = given;
    const parameters = Cc["@mozilla.org/messengercompose/composeparams;1"].createInstance(Ci.nsIMsgComposeParams);
    parameters.composeFields = fields;
    parameters.format = Ci.nsIMsgCompFormat.PlainText;
    MailServices.compose.OpenComposeWindowWithParams(null, parameters);
"""
SEND_BUTTON = """
    const compose = Services.wm.getMostRecentWindow("msgcompose");
    if (!compose?.gMsgCompose || compose.document.getElementById("button-send").disabled) return false;
    compose.document.getElementById("button-send").click();
    return true;
"""


class Thunderbird:
    """A running Thunderbird, as a person before it sees and uses it."""

    def __init__(self, profile):
        port = profile / "MarionetteActivePort"
        wait_for("Thunderbird to open its control port", lambda: port.exists() and port.read_text())
        self.inside = Marionette(int(port.read_text()), PATIENCE_SECONDS)

    def part(self, css):
        return {"id": next(iter(self.inside.script(PART, css).values()))}

    def type(self, css, text):
        self.inside.command("WebDriver:ElementSendKeys", {**self.part(css), "text": text})

    def step(self, name):
        """Waits for a step of the dialogue; gives its text."""
        try:
            return wait_for(f"the step {name}", lambda: (seen := self.inside.script(STEP)) and seen[0] == name and seen[1])
        except Failed as failure:
            raise Failed(f"{failure}; the dialogue shows {self.inside.script(STEP)}") from None

    def go_on(self):
        wait_for("the button that goes on", lambda: self.inside.script(ENABLED))
        self.inside.command("WebDriver:ElementClick", self.part("#forward"))

    def rows(self):
        return self.inside.script(ROWS)


@contextmanager
def display():
    """An X server without a screen."""
    server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield f":{server.stdout.readline().decode().strip()}"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def running(home, gate, screen):
    profile, log = home / "profile", home / "protocol.log"
    profile.mkdir()
    (profile / "user.js").write_text(PREFERENCES.format(port=gate.port))
    environment = {**os.environ, "DISPLAY": screen, "MOZ_LOG": "IMAP:4", "MOZ_LOG_FILE": str(log), "MOZ_ENABLE_WAYLAND": "0"}
    command = ["thunderbird", "--profile", profile, "--no-remote", "--marionette", "--remote-allow-system-access"]
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield Thunderbird(profile)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def sets_itself_up(bird, demo, gate):
    bird.step("emailAutoConfigSubview")
    bird.inside.script("document.querySelector('account-hub-container').modal.querySelector('#realName').select();")
    bird.type("#realName", "Socrates")
    bird.type("#email", demo.socrates.address)
    bird.go_on()
    found = bird.step("emailConfigFoundSubview")
    asked = [what for host, _, what in gate.led if "config-v1.1.xml" in what]
    check("the dialogue finds the settings by itself", str(demo.ports["imaps"]) in found and str(demo.ports["submissions"]) in found, found)
    check("it asked our autoconfig address for them", any(f"http://autoconfig.{DOMAIN}/mail/config-v1.1.xml" in url for url in asked), asked)
    bird.go_on()
    bird.step("emailPasswordSubview")
    bird.type("#password", demo.socrates.password)
    bird.go_on()
    bird.step("emailAddedSuccessSubview")
    account = bird.inside.script(ACCOUNT)
    way = lambda service: ["localhost", demo.ports[service], TLS, NORMAL_PASSWORD, demo.socrates.address]
    check("the account has our servers, TLS and password login", account == way("imaps") + way("submissions"), account)
    bird.go_on()


def sees_new_mail(bird, demo, home):
    bird.inside.script(OPEN_INBOX)
    wait_for("the messages of INBOX", lambda: any("Welcome to your own server" in row for row in bird.rows()))
    check("the messages of INBOX appear", True)
    log = lambda: "".join(path.read_text(errors="replace") for path in home.glob("protocol.log*"))
    wait_for("Thunderbird to idle in INBOX", lambda: re.search(r":S-INBOX:SendData: \d+ IDLE", log()))
    check("it is not there yet", not any(NEW in row for row in bird.rows()))
    demo.deliver(demo.socrates, NEW, "Nobody touched anything.\n")
    wait_for("the new message", lambda: any(NEW in row for row in bird.rows()))
    check("a new message appears by IDLE, without anybody's doing", True)


def opens_it(bird):
    bird.inside.script(SHOW_FIRST)
    wait_for("the text of the message", lambda: "Nobody touched anything." in bird.inside.script(SHOWN))
    check("it can be read", True)


def takes_a_picture(bird):
    path = os.environ.get("STOA_PICTURE") or pathlib.Path(tempfile.mkdtemp(prefix="stoa-thunderbird-")) / "window.png"
    pathlib.Path(path).write_bytes(bird.inside.picture())
    check(f"a picture of the window is in {path}", pathlib.Path(path).stat().st_size > 10_000)


def sends(bird, demo):
    bird.inside.script(SEND, demo.plato.address, SENT, "Σωκράτης")
    wait_for("the button that sends", lambda: bird.inside.script(SEND_BUTTON))
    _, _, content = demo.arrived(demo.plato, SENT)
    check("it sends", "Σωκράτης".encode() in content or b"base64" in content, content)
    demo.arrived(demo.socrates, SENT, "Sent")


def told(gate):
    """Not a check: what it asks for by itself is its own affair, but people should know."""
    hosts = sorted({host for host, _, _ in gate.refused})
    print(f"thunderbird: by itself it asked for {', '.join(hosts)}")


def prove(demo, home):
    web = {80: demo.ports["http"], 443: demo.ports["https"]}
    gate = Gate({(host, port): to for host in (DOMAIN, f"autoconfig.{DOMAIN}") for port, to in web.items()})
    try:
        with display() as screen, running(home, gate, screen) as bird:
            bird.inside.script(TRUST, pathlib.Path(demo.ca_file).read_text())
            sets_itself_up(bird, demo, gate)
            sees_new_mail(bird, demo, home)
            opens_it(bird)
            takes_a_picture(bird)
            sends(bird, demo)
    finally:
        gate.shutdown()
        told(gate)
        demo.remove(demo.socrates, "Test: ", "INBOX", "Sent")
        demo.remove(demo.plato, "Test: ", "INBOX")


play(prove, "thunderbird", "Xvfb")

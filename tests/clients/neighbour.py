"""A Postfix of its own, on one loopback address, with all that it writes in one folder: the system's own is not touched.

Postfix drops its rights, so it has to be started by root; its folder must not lie where others may not look.
"""

import os
import pathlib
import pwd
import re
import shutil
import subprocess

from stage import run

# Everything that Postfix may call; without chroot, so that nothing has to be copied. `-v` logs each line of a conversation.
SERVICES = """
{address}:{port} inet n - n - - smtpd -v
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp -v
relay     unix - - n - - smtp -v
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

SETTINGS = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/state
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
# Postfix knows no other loopback address; where it listens stands in its table of services.
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.{domain}
mydestination =
mynetworks = {address}
relay_domains =
smtpd_relay_restrictions = reject_unauth_destination
alias_maps =
alias_database =
smtputf8_enable = yes
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificates}/mail.{domain}.pem
smtpd_tls_key_file = {certificates}/mail.{domain}.key
smtpd_tls_loglevel = 1
smtp_tls_security_level = secure
smtp_tls_CAfile = {certificates}/authority.pem
smtp_tls_secure_cert_match = mail.{other}
smtp_tls_loglevel = 1
transport_maps = inline:{{ {other}=smtp:[{other_address}]:{port} }}
# Nothing waits for a retry here.
bounce_queue_lifetime = 1m
maximal_queue_lifetime = 1m
"""


class Postfix:
    """Serves `domain` at `address`; mail for `other` it brings to `other_address`, with a certificate that must be good."""

    def __init__(self, folder, certificates, domain, address, port, other, other_address, users):
        self.folder, self.config, self.domain = folder, folder / "config", domain
        nobody = pwd.getpwnam("nobody")
        folder.mkdir()
        for inner in ("config", "queue", "state", "mail"):
            (folder / inner).mkdir()
        shutil.chown(folder / "state", "postfix")
        os.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
        mailboxes = ", ".join(f"{{ {user}@{domain} = {user}/ }}" for user in users)
        (self.config / "main.cf").write_text(SETTINGS.format(
            folder=folder, certificates=certificates, domain=domain, address=address, port=port, other=other,
            other_address=other_address, uid=nobody.pw_uid, gid=nobody.pw_gid, mailboxes=mailboxes,
        ))
        (self.config / "master.cf").write_text(SERVICES.format(address=address, port=port).lstrip())

    def start(self):
        self.command("start")

    def stop(self):
        self.command("stop")

    def command(self, what):
        # Not run(): what Postfix starts keeps the pipe of its output open.
        with (self.folder / "commands").open("ab") as output:
            done = subprocess.run(["postfix", "-c", self.config, what], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        if done.returncode != 0:
            raise OSError(f"postfix {what} failed:\n{(self.folder / 'commands').read_text()}{self.log()}")

    def send(self, sender, to, message, *options):
        """A user of the machine hands in mail."""
        # -i: a line of one dot does not end it.
        run("/usr/sbin/sendmail", "-C", self.config, "-i", "-f", sender, *options, "--", to, text=message)

    def log(self):
        """What it logged: of its much only the lines of conversations, and what it says of TLS."""
        log = self.folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(line for line in lines if re.search(r": [<>] |TLS connection|fatal|warning", line)) + "\n"

    def found(self, user, subject):
        """The messages in a mailbox with this in them."""
        new = self.folder / "mail" / user / "new"
        messages = [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []
        return [message for message in messages if subject.encode() in message]

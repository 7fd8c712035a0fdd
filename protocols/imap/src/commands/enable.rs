//! ENABLE (RFC 5161): what a client must ask for, since it changes what it is told.

use super::{Running, end};
use crate::grammar::Cursor;
use crate::response::Response;
use crate::server::Server;

/// What was enabled; nothing can be disabled again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// RFC 9051: no `\Recent`, names in UTF-8, answers of SEARCH as ESEARCH.
    pub rev2: bool,
    /// RFC 7162 §3.1: FETCH responses say mod-sequences. Other commands enable it, too.
    pub condstore: bool,
    /// RFC 7162 §3.2: VANISHED instead of EXPUNGE.
    pub qresync: bool,
    /// RFC 6855 §3.
    pub utf8: bool,
}

impl Enabled {
    /// Are names of mailboxes and quoted strings UTF-8 on the wire (RFC 9051 §5.1, RFC 6855 §3)?
    pub fn utf8_strings(self) -> bool {
        self.utf8 || self.rev2
    }

    /// Gives the name of what was not enabled before (RFC 5161 §3.2).
    fn switch(&mut self, capability: &str) -> Option<&'static str> {
        let before = *self;
        let name = match capability {
            "IMAP4REV2" => {
                self.rev2 = true;
                "IMAP4rev2"
            }
            "CONDSTORE" => {
                self.condstore = true;
                "CONDSTORE"
            }
            "QRESYNC" => {
                // RFC 7162 §3.2.3: this enables CONDSTORE.
                (self.qresync, self.condstore) = (true, true);
                "QRESYNC"
            }
            "UTF8=ACCEPT" => {
                self.utf8 = true;
                "UTF8=ACCEPT"
            }
            _ => return None,
        };
        (*self != before).then_some(name)
    }
}

/// RFC 5161 §5: "ENABLE" 1*(SP capability). What is not known is passed over.
pub(super) fn enable(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let mut asked = Vec::new();
    while cursor.space() {
        match cursor.atom() {
            Some(capability) => asked.push(capability.to_ascii_uppercase()),
            None => return server.respond(&running.tag, &Response::BAD_ARGUMENTS),
        }
    }
    if asked.is_empty() || end(&cursor).is_err() {
        return server.respond(&running.tag, &Response::BAD_ARGUMENTS);
    }
    server.out.extend_from_slice(b"* ENABLED");
    for capability in asked {
        if let Some(name) = server.enabled.switch(&capability) {
            server.out.extend_from_slice(format!(" {name}").as_bytes());
        }
    }
    server.out.extend_from_slice(b"\r\n");
    server.finish(&running, &Response::OK);
}

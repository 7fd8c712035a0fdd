//! How strings and flags are written (RFC 3501 §4.3, §9).

use stoa_mailbox::{Flags, SystemFlag};

/// string: quoted where that is possible, else a literal.
pub(crate) fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n' | 0x80..)) {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// nstring = string / nil
#[expect(dead_code, reason = "for FETCH")]
pub(crate) fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => quoted(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// flag-list = "(" [flag *(SP flag)] ")"
pub(crate) fn flag_list(out: &mut Vec<u8>, flags: Flags, keywords: &[String], recent: bool) {
    let mut all: Vec<&str> = SystemFlag::ALL.into_iter().filter(|flag| flags.has(*flag)).map(SystemFlag::name).collect();
    all.extend(recent.then_some("\\Recent"));
    all.extend(flags.keywords().filter_map(|place| keywords.get(place)).map(String::as_str));
    out.extend_from_slice(format!("({})", all.join(" ")).as_bytes());
}

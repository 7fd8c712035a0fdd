//! Whose an Authentication-Results field is (RFC 8601 §2.2): its authserv-id.
//!
//! Pure; reads bytes from strangers. What cannot be understood counts as ours, and so is not believed.

/// Whether a raw value is, or may be, of one of the servers named, in lower case.
pub(super) fn is_of(value: &[u8], names: &[String]) -> bool {
    let Some(id) = authserv_id(value) else { return true };
    let id = id.trim_end_matches('.');
    names.iter().any(|name| name == id)
}

/// RFC 8601 §2.2: authres-payload = [CFWS] authserv-id [CFWS authres-version] ...; authserv-id = value of RFC 2045 §5.1.
/// In lower case; `None` when it does not end or has no place.
fn authserv_id(value: &[u8]) -> Option<String> {
    let rest = skip_comments(value)?;
    let id: Vec<u8> = match rest.split_first() {
        Some((b'"', quoted)) => unquoted(quoted)?,
        _ => rest.iter().copied().take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b';' | b'(')).collect(),
    };
    Some(String::from_utf8_lossy(&id).to_lowercase())
}

/// RFC 5322 §3.2.2: what follows white space and comments, which may nest.
fn skip_comments(value: &[u8]) -> Option<&[u8]> {
    let (mut depth, mut escaped) = (0u32, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if depth > 0 => escaped = true,
            b'(' => depth = depth.saturating_add(1),
            b')' if depth > 0 => depth -= 1,
            byte if depth > 0 || byte.is_ascii_whitespace() => {}
            _ => return value.get(at..),
        }
    }
    None
}

/// RFC 5322 §3.2.4: what a quoted string means, whose first quote is gone.
fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let (mut id, mut bytes) = (Vec::new(), quoted.iter());
    loop {
        match bytes.next()? {
            b'"' => return Some(id),
            b'\\' => id.push(*bytes.next()?),
            b'\r' | b'\n' => {}
            byte => id.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_results_they_are() {
        let table = [
            (" mx.example; spf=pass", true),
            ("MX.Example;none", true),
            ("mx.example. 1; none", true),
            (" (a (nested\\)) comment) mx.example (x) 1; none", true),
            ("\r\n\t\"mx.\\example\" 1; none", true),
            ("mx.example", true),
            ("mx.example(x);", true),
            ("mail.mx.example; none", false),
            ("other.example; dkim=pass header.i=@mx.example", false),
            ("other.example (mx.example); none", false),
            // RFC 8601 §2.2 asks for an identifier; without one nobody is named.
            ("; none", false),
            // What has no end.
            ("", true),
            ("(mx.example", true),
            ("\"other.example", true),
        ];
        for (value, ours) in table {
            assert_eq!(is_of(value.as_bytes(), &["mx.example".into()]), ours, "{value:?}");
        }
    }
}

//! ESMTP parameters of MAIL and RCPT (RFC 5321 §4.1.2) and their xtext values (RFC 3461 §4).

use crate::reply::Reply;

/// RFC 5321 §4.1.2: Mail-parameters = esmtp-param *(SP esmtp-param), with the space before them.
/// Names come in upper case; a name that comes twice is refused.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, Option<&str>)>, Reply> {
    let mut found: Vec<(String, Option<&str>)> = Vec::new();
    let Some(list) = text.strip_prefix(' ') else {
        return if text.is_empty() { Ok(found) } else { Err(Reply::BAD_ARGUMENTS) };
    };
    for parameter in list.split(' ') {
        let (name, value) = parameter.split_once('=').map_or((parameter, None), |(name, value)| (name, Some(value)));
        let name = name.to_ascii_uppercase();
        if !is_keyword(&name) || value.is_some_and(|value| !is_value(value)) || found.iter().any(|(other, _)| *other == name) {
            return Err(Reply::BAD_ARGUMENTS);
        }
        found.push((name, value));
    }
    Ok(found)
}

/// RFC 5321 §4.1.2: esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
fn is_keyword(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// RFC 5321 §4.1.2: esmtp-value = 1*(%d33-60 / %d62-126); RFC 6531 §3.3 adds non-ASCII.
fn is_value(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| matches!(c, '!'..='<' | '>'..='~') || !c.is_ascii())
}

/// RFC 3461 §4: xtext = *( xchar / hexchar ), hexchar = "+" 2(%x30-39 / %x41-46).
/// The decoded text must be printable ASCII, as §4.2 and §4.4 ask.
pub(crate) fn xtext(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'+' => hex_digit(bytes.next()?)? * 16 + hex_digit(bytes.next()?)?,
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return None,
        };
        decoded.push(Some(char::from(byte)).filter(|c| matches!(c, ' '..='~'))?);
    }
    Some(decoded)
}

/// The same the other way round, for a client: octets that are no xchar as hexchar.
pub fn to_xtext(text: &str) -> String {
    let mut xtext = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'+' | b'=') => xtext.push(char::from(byte)),
            _ => xtext.push_str(&format!("+{byte:02X}")),
        }
    }
    xtext
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(parse(" size=5 SMTPUTF8"), Ok(vec![("SIZE".to_owned(), Some("5")), ("SMTPUTF8".to_owned(), None)]));
        assert_eq!(parse(""), Ok(Vec::new()));
        for bad in ["x", " ", "  A", " A=", " -A", " A=1 a=2", " A=b=c", " A  B", " \u{e9}"] {
            assert_eq!(parse(bad), Err(Reply::BAD_ARGUMENTS), "{bad:?}");
        }
    }

    #[test]
    fn xtext_values() {
        assert_eq!(xtext("a+2Bb+3Dc+20d"), Some("a+b=c d".to_owned()));
        for text in ["a+b=c d", "john+tag@x.example", "", "~!"] {
            assert_eq!(xtext(&to_xtext(text)).as_deref(), Some(text));
        }
        assert_eq!(to_xtext("a+b\r\n"), "a+2Bb+0D+0A");
        for bad in ["+", "+2", "+2b", "+zz", "a=b", "a b", "+00", "+FF"] {
            assert_eq!(xtext(bad), None, "{bad}");
        }
    }
}

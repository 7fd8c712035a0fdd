//! A domain as people and mail write it, turned into a name of DNS.

use hickory_resolver::proto::rr::Name;

/// RFC 1035 §3.1 allows 255 octets on the wire, which are 253 characters; U-labels are longer in UTF-8.
const TEXT_BYTES_MAX: usize = 1024;

/// The full name for a domain in ASCII or with U-labels (RFC 5890); `None` if no such name can exist.
///
/// Names of mail hold letters, digits, hyphens and underscores. What zone files write with a backslash is not taken:
/// it would let a stranger's text mean another name here than where it was checked.
pub(super) fn parse(text: &str) -> Option<Name> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let ascii = if text.is_ascii() { text.to_ascii_lowercase() } else { idna::domain_to_ascii(text).ok()? };
    let bare = ascii.strip_suffix('.').unwrap_or(&ascii);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if bare.is_empty() || !bare.bytes().all(fits) {
        return None;
    }
    let mut name = Name::from_ascii(bare).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// As mail writes it: lower case, no dot at the end; the root is empty.
pub(super) fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_mail_are_taken_in_every_form() {
        for (given, want) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("_25._tcp.mx.example.org", "_25._tcp.mx.example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ] {
            assert_eq!(text(&parse(given).unwrap()), want);
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let (label, name) = ("a".repeat(64), format!("{}org", "abcdefgh.".repeat(30)));
        for given in
            ["", ".", "a b", "a..b", ".a", "a\\046b.org", "a\0b", "a\r\nb", "*.org", "[127.0.0.1]", &label, &name, &"é".repeat(2000)]
        {
            assert!(parse(given).is_none(), "{given}");
        }
    }
}

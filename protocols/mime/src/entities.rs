//! Character references of HTML, such as `&uuml;` and `&#252;` (HTML Living Standard §13.5). The table is that of `mail-parser`.

use mail_parser::decoders::html::add_html_token;

/// Octets between `&` and `;` of the longest name there is, `CounterClockwiseContourIntegral`, and one more.
pub const ENTITY_BYTES_MAX: usize = 32;

/// What stands between `&` and `;`, as the letter it means; none if it means none.
pub fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hexadecimal = number.strip_prefix(['x', 'X']);
        let code = hexadecimal.map_or_else(|| number.parse().ok(), |number| u32::from_str_radix(number, 16).ok());
        return code.and_then(char::from_u32);
    }
    if name.len() > ENTITY_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (mut text, token) = (String::new(), format!("&{name};"));
    add_html_token(&mut text, token.as_bytes(), false);
    let mut letters = text.chars();
    letters.next().filter(|_| letters.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        let table = [
            ("uuml", Some('ü')),
            ("Uuml", Some('Ü')),
            ("amp", Some('&')),
            ("nbsp", Some('\u{a0}')),
            ("euro", Some('€')),
            ("CounterClockwiseContourIntegral", Some('∳')),
            ("#252", Some('ü')),
            ("#xFC", Some('ü')),
            ("#x1F600", Some('😀')),
            ("#xD800", None),
            ("#", None),
            ("#x", None),
            ("#-1", None),
            ("", None),
            ("nothing", None),
            ("ü", None),
            ("a;b", None),
        ];
        for (name, want) in table {
            assert_eq!(entity(name), want, "{name}");
        }
    }
}

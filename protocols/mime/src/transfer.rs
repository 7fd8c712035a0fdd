//! Content-Transfer-Encoding taken off while the body streams by (RFC 2045 §6).
//!
//! Reads bytes from strangers, in pieces of any size, and gives what can be read of them: letters foreign to base64 are
//! passed over, broken quoted-printable stands for itself. What is held between pieces has a fixed bound.

use crate::limits::HELD_SPACE_BYTES_MAX;
use crate::parameters::hex;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// `7bit`, `8bit`, `binary`: as it is; so is what says nothing, or a name unknown.
    #[default]
    Identity,
    /// RFC 2045 §6.8.
    Base64,
    /// RFC 2045 §6.7.
    QuotedPrintable,
}

impl Encoding {
    /// From the value of Content-Transfer-Encoding, in any case.
    pub fn of(name: Option<&str>) -> Self {
        match name.map(str::to_ascii_lowercase).as_deref() {
            Some("base64") => Self::Base64,
            Some("quoted-printable") => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }
}

/// Takes an encoding off a body.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Identity,
    Base64 { bits: u32, letters: u8 },
    Quoted { escape: Escape, space: Vec<u8> },
}

/// Where a quoted-printable text is, besides the white space held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// After "=".
    Sign,
    /// After "=" and one digit.
    Digit(u8),
    /// After "=" and white space: a soft line break to which transport has added (RFC 2045 §6.7 rule 3).
    Break,
}

impl Decoder {
    /// For a body in this encoding.
    pub fn new(encoding: Encoding) -> Self {
        Self(match encoding {
            Encoding::Identity => State::Identity,
            Encoding::Base64 => State::Base64 { bits: 0, letters: 0 },
            Encoding::QuotedPrintable => State::Quoted { escape: Escape::None, space: Vec::new() },
        })
    }

    /// Reads on and appends what is decoded to `out`.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => out.extend_from_slice(bytes),
            State::Base64 { bits, letters } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    rest = if *letters == 0 { quanta(rest, out) } else { rest };
                    let Some((byte, after)) = rest.split_first() else { return };
                    base64(*byte, bits, letters, out);
                    rest = after;
                }
            }
            State::Quoted { escape, space } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let plain = if *escape == Escape::None { plain(rest) } else { 0 };
                    let (run, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
                    if !run.is_empty() {
                        out.append(space);
                        out.extend_from_slice(run);
                    }
                    let Some((byte, after)) = after.split_first() else { return };
                    *escape = quoted(*escape, *byte, space, out);
                    rest = after;
                }
            }
        }
    }

    /// Appends what the end leaves.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => {}
            State::Base64 { bits, letters } => flush(bits, letters, out),
            State::Quoted { escape: Escape::Digit(digit), .. } => out.extend_from_slice(&[b'=', *digit]),
            // White space at the end of a body was added on the way, and "=" there is a soft line break.
            State::Quoted { .. } => {}
        }
    }
}

/// All of a body at once.
pub fn decode(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let (mut decoder, mut out) = (Decoder::new(encoding), Vec::with_capacity(bytes.len()));
    decoder.decode(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

/// What a letter of base64 means; more than that for all others.
#[expect(clippy::indexing_slicing, reason = "the compiler does it, and would say so")]
const VALUES: [u8; 256] = {
    let (mut values, mut letter) = ([u8::MAX; 256], 0_u8);
    while letter < 64 {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        values[alphabet[letter as usize] as usize] = letter;
        letter += 1;
    }
    values
};

fn value(letter: u8) -> u8 {
    VALUES.get(usize::from(letter)).copied().unwrap_or(u8::MAX)
}

/// Whole quanta at the beginning, as lines have them one after the other; what comes after them.
fn quanta<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let (quanta, _) = text.as_chunks::<4>();
    let mut read = 0;
    for quantum in quanta {
        let [a, b, c, d] = quantum.map(value);
        if (a | b | c | d) > 63 {
            break;
        }
        let [_, bytes @ ..] = (u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d)).to_be_bytes();
        out.extend_from_slice(&bytes);
        read += 4;
    }
    text.get(read..).unwrap_or_default()
}

/// How many octets stand for themselves: up to the next line end or "=", and the white space before it.
fn plain(text: &[u8]) -> usize {
    let end = memchr::memchr2(b'\n', b'=', text).unwrap_or(text.len());
    let run = text.get(..end).unwrap_or(text);
    run.len() - run.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count()
}

/// One letter of base64. Padding ends a quantum, after which another text may follow, as programs that join texts leave it.
fn base64(byte: u8, bits: &mut u32, letters: &mut u8, out: &mut Vec<u8>) {
    let value = match value(byte) {
        value @ ..64 => value,
        _ if byte == b'=' => return flush(bits, letters, out),
        // RFC 2045 §6.8: all other characters are ignored.
        _ => return,
    };
    (*bits, *letters) = (*bits << 6 | u32::from(value), *letters + 1);
    if *letters == 4 {
        flush(bits, letters, out);
    }
}

/// The whole bytes of a quantum: three of four letters, two of three, one of two.
fn flush(bits: &mut u32, letters: &mut u8, out: &mut Vec<u8>) {
    let [_, first, second, third] = (*bits << (6 * (4 - u32::from(*letters)))).to_be_bytes();
    out.extend([first, second, third].iter().take(usize::from(letters.saturating_sub(1))));
    (*bits, *letters) = (0, 0);
}

/// One byte of quoted-printable.
fn quoted(escape: Escape, byte: u8, space: &mut Vec<u8>, out: &mut Vec<u8>) -> Escape {
    match (escape, byte) {
        (Escape::None, b' ' | b'\t' | b'\r') if space.len() < HELD_SPACE_BYTES_MAX => {
            space.push(byte);
            Escape::None
        }
        (Escape::None, b'\n') => {
            // Rule 3: white space before the line end was added on the way.
            let ending: &[u8] = if space.last() == Some(&b'\r') { b"\r\n" } else { b"\n" };
            space.clear();
            out.extend_from_slice(ending);
            Escape::None
        }
        (Escape::None, _) => {
            out.append(space);
            if byte == b'=' {
                return Escape::Sign;
            }
            out.push(byte);
            Escape::None
        }
        (Escape::Sign | Escape::Break, b'\n') => Escape::None,
        (Escape::Sign | Escape::Break, b' ' | b'\t' | b'\r') => Escape::Break,
        (Escape::Sign, _) if byte.is_ascii_hexdigit() => Escape::Digit(byte),
        (Escape::Sign, _) => {
            out.push(b'=');
            quoted(Escape::None, byte, space, out)
        }
        (Escape::Break, _) => quoted(Escape::None, byte, space, out),
        (Escape::Digit(digit), _) => match hex([digit, byte]) {
            Some(decoded) => {
                out.push(decoded);
                Escape::None
            }
            None => {
                out.extend_from_slice(&[b'=', digit]);
                quoted(Escape::None, byte, space, out)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_texts() {
        let table: [(&[u8], &[u8]); 8] = [
            (b"", b""),
            (b"aGVsbG8=", b"hello"),
            (b"aGVs\r\nbG8gd29y\r\nbGQ=\r\n", b"hello world"),
            (b"aGVsbG8", b"hello"),
            (b"aGVsbG8=aGVsbG8=", b"hellohello"),
            (b"a!G.V s-b-G-8=", b"hello"),
            (b"a", b""),
            (b"+/+/", b"\xfb\xff\xbf"),
        ];
        for (text, want) in table {
            assert_eq!(decode(Encoding::Base64, text), want, "{text:?}");
        }
    }

    #[test]
    fn quoted_printable_texts() {
        let table: [(&[u8], &[u8]); 11] = [
            (
                b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.",
                b"Now's the time for all folk to come to the aid of their country.",
            ),
            (b"caf=C3=a9", b"caf\xc3\xa9"),
            (b"a  \r\nb\t\n", b"a\r\nb\n"),
            (b"a= \t\r\nb", b"ab"),
            (b"a=\nb", b"ab"),
            (b"a=20\r\n", b"a \r\n"),
            (b"1=x =Gg =4", b"1=x =Gg =4"),
            (b"==41", b"=A"),
            (b"a b ", b"a b"),
            (b"a=", b"a"),
            (b"a\rb", b"a\rb"),
        ];
        for (text, want) in table {
            assert_eq!(decode(Encoding::QuotedPrintable, text), want, "{text:?}");
        }
    }

    /// Letter by letter, with no eye to speed.
    fn slow(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
        for byte in text {
            match &mut decoder.0 {
                State::Identity => out.push(*byte),
                State::Base64 { bits, letters } => base64(*byte, bits, letters, &mut out),
                State::Quoted { escape, space } => *escape = quoted(*escape, *byte, space, &mut out),
            }
        }
        decoder.finish(&mut out);
        out
    }

    proptest! {
        #[test]
        fn the_short_ways_lead_to_the_same(text in "[ =\\r\\nA4fz\\t+ ]{0,60}") {
            for encoding in [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable] {
                prop_assert_eq!(decode(encoding, text.as_bytes()), slow(encoding, text.as_bytes()));
            }
        }

        #[test]
        fn any_pieces_give_the_same(text in "[ =\\r\\nA4fz\\t+]{0,60}", piece in 1_usize..7) {
            for encoding in [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable] {
                let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
                text.as_bytes().chunks(piece).for_each(|piece| decoder.decode(piece, &mut out));
                decoder.finish(&mut out);
                prop_assert_eq!(out, decode(encoding, text.as_bytes()));
            }
        }

        #[test]
        fn base64_agrees_with_mail_parser(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = letters(&bytes);
            prop_assert_eq!(&decode(Encoding::Base64, text.as_bytes()), &bytes);
            prop_assert_eq!(mail_parser::decoders::base64::base64_decode(text.as_bytes()), Some(bytes));
        }
    }

    /// RFC 2045 §6.8, the other way round.
    fn letters(bytes: &[u8]) -> String {
        let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
        let quantum = |three: &[u8]| {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            (0..4)
                .map(|place| if place <= three.len() { alphabet[(bits >> (18 - 6 * place)) as usize & 63] } else { '=' })
                .collect::<String>()
        };
        bytes.chunks(3).map(quantum).collect()
    }
}

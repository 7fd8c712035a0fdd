//! The content of a message on the wire: from DATA (RFC 5321 §4.5.2) to the bytes that are stored.
//!
//! Reads bytes from strangers, in pieces of any size. Takes the dots away, finds the end, and notices what
//! must not be in a message: a bare CR or LF, which other servers may take for a line end or for the end of
//! the message ("SMTP smuggling"). Only CRLF "." CRLF ends DATA. Content past the limit is counted, not kept.
//! Knows nothing of commands and replies.

/// What is wrong with content; it is read to its end all the same, so that the conversation stays in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// RFC 5321 §2.3.8: CR and LF occur only together.
    BareLineEnd,
    /// More bytes than announced as the limit.
    TooLarge,
}

/// Reads the content that follows DATA.
#[derive(Debug)]
pub struct DataReader {
    place: Place,
    size: u64,
    size_max: u64,
    fault: Option<Fault>,
}

/// Where the reader is, by what came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    Text,
    /// A CR that is held back until its LF comes.
    Cr,
    /// A dot at the start of a line.
    Dot,
    /// A dot at the start of a line, then CR.
    DotCr,
    End,
}

impl DataReader {
    /// Keeps at most `size_max` bytes of content.
    pub fn new(size_max: u64) -> Self {
        Self { place: Place::LineStart, size: 0, size_max, fault: None }
    }

    /// Reads on, appends content to `out`, and returns how many bytes were used: fewer than given
    /// only at the end, after which commands follow.
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while let Some((&byte, rest)) = bytes.get(used..).and_then(<[u8]>::split_first) {
            if self.place == Place::End {
                break;
            }
            used += 1;
            self.take(byte, out);
            if self.place == Place::Text {
                let run = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                self.keep(rest.get(..run).unwrap_or_default(), out);
                used += run;
            }
        }
        used
    }

    /// Whether the end has been read.
    pub fn is_done(&self) -> bool {
        self.place == Place::End
    }

    /// The first fault found so far.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Bytes of content so far, kept or not.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.place = match (self.place, byte) {
            (Place::Cr, b'\n') => {
                self.keep(b"\r\n", out);
                Place::LineStart
            }
            (Place::DotCr, b'\n') => Place::End,
            (Place::LineStart, b'.') => Place::Dot,
            (Place::Dot, b'\r') => Place::DotCr,
            (Place::Cr | Place::DotCr, _) => {
                self.fail(Fault::BareLineEnd);
                if byte == b'\r' { Place::Cr } else { Place::Text }
            }
            (_, b'\n') => {
                self.fail(Fault::BareLineEnd);
                Place::Text
            }
            (_, b'\r') => Place::Cr,
            // The first of two dots was put there by the client; so was one before any other text.
            (Place::LineStart | Place::Text | Place::Dot, _) => {
                self.keep(&[byte], out);
                Place::Text
            }
            (Place::End, _) => Place::End,
        };
    }

    fn keep(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > self.size_max {
            self.fail(Fault::TooLarge);
        }
        if self.fault.is_none() {
            out.extend_from_slice(bytes);
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, fault and what is left for commands; whole and byte by byte must agree.
    fn read(wire: &[u8]) -> (Vec<u8>, Option<Fault>, Option<Vec<u8>>) {
        let (mut whole, mut kept) = (DataReader::new(1000), Vec::new());
        let used = whole.read(wire, &mut kept);
        let (mut slow, mut slowly) = (DataReader::new(1000), Vec::new());
        let slow_used: usize = wire.iter().map(|byte| slow.read(&[*byte], &mut slowly)).sum();
        assert_eq!((used, &kept, whole.fault(), whole.is_done()), (slow_used, &slowly, slow.fault(), slow.is_done()));
        (kept, whole.fault(), whole.is_done().then(|| wire[used..].to_vec()))
    }

    #[test]
    fn dots_and_the_end() {
        let table: [(&[u8], &[u8]); 6] = [
            (b".\r\n", b""),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..hello\r\n.\r\n", b".hello\r\n"),
            (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n"),
            (b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n"),
            (b"a.\r\n\r\n.\r\n", b"a.\r\n\r\n"),
        ];
        for (wire, content) in table {
            assert_eq!(read(wire), (content.to_vec(), None, Some(Vec::new())), "{wire:?}");
        }
        assert_eq!(read(b"a\r\n.\r\nQUIT\r\n").2, Some(b"QUIT\r\n".to_vec()));
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_data() {
        let table: [&[u8]; 9] =
            [b"a\n.\n", b"a\n.\r\n", b"a\r.\r\n", b"a\r.\r", b"a\r\n.\n", b"a\r\n.\r\r\n", b"a\r\n.\rX\r\n", b"a\r\r\n", b"\r\n\0.\r\n"];
        for smuggled in table {
            let (_, fault, rest) = read(smuggled);
            assert_eq!(rest, None, "{smuggled:?}");
            let (_, _, rest) = read(&[smuggled, b"MAIL FROM:<x@y.z>\r\n.\r\n"].concat());
            assert_eq!(rest, Some(Vec::new()), "{smuggled:?}");
            assert!(fault == Some(Fault::BareLineEnd) || smuggled.contains(&0), "{smuggled:?}");
        }
    }

    #[test]
    fn content_past_the_limit_is_counted_and_not_kept() {
        let (mut reader, mut kept) = (DataReader::new(5), Vec::new());
        reader.read(b"1234567\r\n.\r\n", &mut kept);
        assert!(reader.is_done() && kept.len() <= 5);
        assert_eq!((reader.fault(), reader.size()), (Some(Fault::TooLarge), 9));
    }
}

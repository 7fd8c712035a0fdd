//! What a server says, read as a client reads it (RFC 9051 §9: response): knows nothing of the code that wrote it.

/// A part of a response.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Atom(String),
    Text(Vec<u8>),
    List(Vec<Value>),
}

/// A whole response.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    GoOn,
    Status {
        /// None is `*`.
        tag: Option<String>,
        condition: String,
        /// The words within the brackets.
        code: Vec<String>,
    },
    Data(Vec<Value>),
}

impl Value {
    pub fn atom(&self) -> &str {
        if let Self::Atom(atom) = self { atom } else { "" }
    }

    pub fn list(&self) -> &[Value] {
        if let Self::List(list) = self { list } else { &[] }
    }
}

/// Gathers bytes until they make a response.
#[derive(Default)]
pub(super) struct Reader(Vec<u8>);

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole response and its bytes.
    pub fn next(&mut self) -> Option<(String, Result<Line, String>)> {
        let mut end = 0;
        loop {
            end += self.0[end..].windows(2).position(|two| two == b"\r\n")? + 2;
            match literal(&self.0[..end - 2]) {
                Some(size) if self.0.len() < end + size => return None,
                Some(size) => end += size,
                None => break,
            }
        }
        let line: Vec<u8> = self.0.drain(..end).collect();
        let shown = String::from_utf8_lossy(&line[..end - 2]).into_owned();
        let parsed = parse(&line[..end - 2]).ok_or_else(|| format!("no response: {shown}"));
        Some((shown, parsed))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// "{" number "}" at the end of a line.
fn literal(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

fn parse(line: &[u8]) -> Option<Line> {
    if line.starts_with(b"+ ") {
        return Some(Line::GoOn);
    }
    let text = String::from_utf8_lossy(line);
    let mut words = text.splitn(3, ' ');
    let (tag, condition, rest) = (words.next()?, words.next()?, words.next());
    if matches!(condition, "OK" | "NO" | "BAD" | "BYE") {
        let code = rest?.strip_prefix('[').map_or(Some(""), |code| code.split_once("] ").map(|(code, _)| code))?;
        let code = code.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        return Some(Line::Status { tag: (tag != "*").then(|| tag.to_owned()), condition: condition.to_owned(), code });
    }
    let mut rest = line.strip_prefix(b"* ")?;
    let values = values(&mut rest)?;
    rest.is_empty().then_some(Line::Data(values))
}

/// Values up to a closing bracket or the end.
fn values(rest: &mut &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    loop {
        match rest.first() {
            None | Some(b')') => return Some(values),
            Some(b' ') => *rest = &rest[1..],
            _ => values.push(value(rest)?),
        }
    }
}

fn value(rest: &mut &[u8]) -> Option<Value> {
    match rest.first()? {
        b'(' => {
            *rest = &rest[1..];
            let list = values(rest)?;
            *rest = rest.strip_prefix(b")")?;
            Some(Value::List(list))
        }
        b'"' => {
            let end = rest[1..].iter().position(|&byte| byte == b'"')? + 1;
            let text = rest[1..end].to_vec();
            *rest = &rest[end + 1..];
            Some(Value::Text(text))
        }
        b'{' => {
            let line = rest.windows(2).position(|two| two == b"\r\n")?;
            let size = literal(&rest[..line])?;
            let text = rest.get(line + 2..line + 2 + size)?.to_vec();
            *rest = &rest[line + 2 + size..];
            Some(Value::Text(text))
        }
        _ => {
            let end = rest.iter().position(|byte| matches!(byte, b' ' | b'(' | b')')).unwrap_or(rest.len());
            let atom = String::from_utf8(rest[..end].to_vec()).ok()?;
            *rest = &rest[end..];
            (!atom.is_empty()).then_some(Value::Atom(atom))
        }
    }
}

/// The numbers of a set, in the order in which it names them; `*` does not occur in what a server says.
pub(super) fn numbers(set: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in set.split(',') {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        all.extend(from.min(to)..=from.max(to));
    }
    Some(all)
}

#[test]
fn responses_are_read() {
    let mut reader = Reader::default();
    reader.feed(b"* 1 FETCH (FLAGS (\\Seen a) BODY[TEXT] {3}\r\na\r\n UID 7)\r\na OK [COPYUID 1 2:3 4,5] Done\r\n+ x\r\n* SEAR");
    let (_, line) = reader.next().unwrap();
    let Ok(Line::Data(values)) = line else { panic!("{line:?}") };
    assert_eq!((values[0].atom(), values[1].atom(), values[2].list().len()), ("1", "FETCH", 6));
    assert_eq!(values[2].list()[3], Value::Text(b"a\r\n".to_vec()));
    let Some((_, Ok(Line::Status { tag, code, .. }))) = reader.next() else { panic!() };
    assert_eq!((tag.as_deref(), code.join("|").as_str()), (Some("a"), "COPYUID|1|2:3|4,5"));
    assert_eq!(reader.next().unwrap().1, Ok(Line::GoOn));
    assert!(reader.next().is_none() && !reader.is_empty());
    assert_eq!(numbers("5,1:3"), Some(vec![5, 1, 2, 3]));
}

//! THREAD: messages as conversations (RFC 5256 §3).
//!
//! Takes of each message its identifiers, its subject and its date; gives trees as one flat list, so that a chain of a
//! hundred thousand answers takes no stack, neither to make nor to write. Pure; headers come from strangers.

mod forest;
mod ids;
mod references;
#[cfg(test)]
mod tests;

use crate::fold::fold;
use crate::search::Hit;
use crate::subject::BaseSubject;
use references::References;
use stoa_mailbox::Uid;

/// How messages are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// By subject alone.
    OrderedSubject,
    /// By what they refer to.
    References,
}

/// A place in a tree; those of a forest stand parents first, then all that is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// The message; none for one that is not there, but whose answers belong together.
    pub uid: Option<Uid>,
    /// How many are right below.
    pub children: u32,
}

impl Algorithm {
    /// RFC 5256 §5: thread-alg = "ORDEREDSUBJECT" / "REFERENCES"
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "ORDEREDSUBJECT" => Some(Self::OrderedSubject),
            "REFERENCES" => Some(Self::References),
            _ => None,
        }
    }
}

/// Messages that are being put together.
#[derive(Debug)]
pub(crate) enum Threader {
    OrderedSubject(Vec<Letter>),
    References(Box<References>),
}

/// What counts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    uid: Uid,
    /// In seconds since 1970.
    sent: i64,
    /// Folded.
    subject: Box<str>,
    is_answer: bool,
}

impl Letter {
    fn of(hit: &Hit<'_>) -> Self {
        let BaseSubject { text, is_answer } = hit.subject();
        Self { uid: hit.entry.uid, sent: hit.moment(), subject: fold(&text).into_boxed_str(), is_answer }
    }

    /// RFC 5256 §2.2: by date, then in the order of the mailbox.
    fn place(&self) -> (i64, Uid) {
        (self.sent, self.uid)
    }
}

impl Threader {
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::OrderedSubject => Self::OrderedSubject(Vec::new()),
            Algorithm::References => Self::References(Box::default()),
        }
    }

    /// Takes the next message of the mailbox.
    pub fn add(&mut self, hit: &Hit<'_>) {
        match self {
            Self::OrderedSubject(letters) => letters.push(Letter::of(hit)),
            Self::References(references) => {
                let id = hit.field("Message-ID").and_then(|value| ids::ids(&value).next());
                let mut named: Vec<_> = hit.field("References").map(|value| ids::ids(&value).collect()).unwrap_or_default();
                if named.is_empty() {
                    named.extend(hit.field("In-Reply-To").and_then(|value| ids::ids(&value).next()));
                }
                references.add(Letter::of(hit), id.as_deref(), &named);
            }
        }
    }

    pub fn finish(self) -> Vec<Node> {
        match self {
            Self::OrderedSubject(letters) => by_subject(letters),
            Self::References(references) => references.finish(),
        }
    }
}

/// RFC 5256 §3, ORDEREDSUBJECT: the first message of a subject, and below it all others, by date.
fn by_subject(mut letters: Vec<Letter>) -> Vec<Node> {
    letters.sort_by(|one, other| one.subject.cmp(&other.subject).then(one.place().cmp(&other.place())));
    let mut threads: Vec<&[Letter]> = letters.chunk_by(|one, other| one.subject == other.subject).collect();
    threads.sort_by_key(|thread| thread.first().map(Letter::place));
    let nodes = threads.into_iter().flat_map(|thread| {
        let below = u32::try_from(thread.len() - 1).unwrap_or(u32::MAX);
        thread.iter().zip(std::iter::once(below).chain(std::iter::repeat(0)))
    });
    nodes.map(|(letter, children)| Node { uid: Some(letter.uid), children }).collect()
}

/// RFC 5256 §5: thread-data = "THREAD" [SP 1*thread-list], thread-list = "(" (thread-members / thread-nested) ")", thread-members =
/// nz-number *(SP nz-number) [SP thread-nested], thread-nested = 2*thread-list
pub(crate) fn write(out: &mut Vec<u8>, nodes: impl Iterator<Item = Node>) {
    out.extend_from_slice(b"* THREAD");
    // Of each list that is not closed and has lists within, how many are to come.
    let (mut open, mut opens): (Vec<u32>, bool) = (Vec::new(), true);
    let mut separator: &[u8] = b" (";
    for node in nodes {
        out.extend_from_slice(if opens { separator } else { b" " });
        separator = b"(";
        if let Some(number) = node.uid {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        opens = node.children != 1;
        match node.children {
            0 => close(out, &mut open),
            1 => {}
            several => {
                out.extend_from_slice(if node.uid.is_some() { b" " } else { b"" });
                open.push(several);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn close(out: &mut Vec<u8>, open: &mut Vec<u32>) {
    out.push(b')');
    while let Some(missing) = open.last_mut() {
        *missing = missing.saturating_sub(1);
        if *missing > 0 {
            return;
        }
        open.pop();
        out.push(b')');
    }
}

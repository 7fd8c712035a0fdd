//! BDAT (RFC 3030 §2): a chunk of content, counted instead of ended by a dot.

use crate::limits::CHUNK_SIZE_DIGITS_MAX;
use crate::reply::Reply;
use crate::server::{Asked, Chunk, Question, Server, State};

/// RFC 3030 §2: bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF
pub(super) fn bdat(server: &mut Server, arguments: &str) {
    let Some((size, last)) = parse(arguments) else {
        // Where the chunk ends is not known, so neither is where the next command begins.
        return server.close(Some(Reply::BAD_ARGUMENTS.text("Say BDAT size [LAST]; closing")));
    };
    let refused = refusal(server, size);
    let chunk = Chunk { size, remaining: size, last, refused };
    match &server.transaction {
        Some(transaction) if chunk.refused.is_none() && transaction.content.is_none() => {
            server.ask(Question::BeginBody(transaction.envelope.clone()), Asked::BeginChunk(chunk));
        }
        _ => server.state = State::Chunk(chunk),
    }
}

fn refusal(server: &Server, size: u64) -> Option<Reply> {
    let Some(transaction) = &server.transaction else { return Some(Reply::BAD_SEQUENCE.text("Send MAIL first")) };
    if transaction.envelope.recipients.is_empty() {
        return Some(Reply::NO_RECIPIENTS);
    }
    let before = transaction.content.as_ref().map_or(0, |content| content.size);
    (before.saturating_add(size) > server.config.size_max).then_some(Reply::TOO_LARGE)
}

/// RFC 3030 §2: chunk-size = 1*DIGIT, end-marker = "LAST"
fn parse(arguments: &str) -> Option<(u64, bool)> {
    let (digits, last) = match arguments.split_once(' ') {
        None => (arguments, false),
        Some((digits, marker)) => marker.eq_ignore_ascii_case("LAST").then_some((digits, true))?,
    };
    let good = digits.len() <= CHUNK_SIZE_DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| digits.parse().ok())?.map(|size| (size, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes() {
        assert_eq!(parse("0 LAST"), Some((0, true)));
        assert_eq!(parse("18446744073709551615"), Some((u64::MAX, false)));
        for bad in ["", "LAST", "1 LAST 2", "+1", "-1", "1x", "1 FIRST", "18446744073709551616", "000000000000000000001"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

//! DEFLATE between a conversation and its stream (RFC 1951; RFC 4978 §4): raw, without header and checksum.
//!
//! What a [`Deflater`] gives ends on a byte and behind a whole block, so that a peer that waits for whole blocks can read
//! all that was sent. An [`Inflater`] takes compressed bytes of strangers in pieces of any size, gives at once what can be
//! read of them however the peer flushed, and never more than [`WINDOW_BYTES_MAX`] in one piece. Both can
//! [`rest`](Deflater::rest), since most connections are idle most of the time: then the one costs nothing, the other
//! the text that the peer may still refer to.

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};
use std::fmt;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::yield_now;

/// It finds most of what repeats in mail, and time is dearer here than bytes.
const LEVEL: CompressionLevel = CompressionLevel::BestSpeed;

/// Compressed bytes that are read at once.
const READ_BYTES: usize = 4 * 1024;

/// RFC 1951 §2: a match reaches so far back.
const HISTORY_BYTES_MAX: usize = 32 * 1024;

/// The history and as much again for what comes: so each byte is moved once at most.
const WINDOW_BYTES_MAX: usize = 2 * HISTORY_BYTES_MAX;

/// A window begins so small, since most clients say little.
const WINDOW_BYTES_MIN: usize = 4 * 1024;

const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;

/// Compresses what goes out.
#[derive(Default)]
pub(super) struct Deflater {
    /// A third of a megabyte while something is being said. Between two calls it holds nothing that was not given out.
    compressor: Option<Box<CompressorOxide>>,
}

impl Deflater {
    /// Compresses all of it, so that the peer can read all of it.
    pub(super) fn compress(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let fresh = || Box::new(CompressorOxide::with_format_and_level(DataFormat::Raw, LEVEL));
        let compressor = self.compressor.get_or_insert_with(fresh);
        let mut compressed = Vec::new();
        // Taken block by block there is no output that could be full and no flush that could be cut short.
        let take = |block: &[u8]| {
            compressed.extend_from_slice(block);
            true
        };
        match compress_to_output(compressor, bytes, TDEFLFlush::Sync, take) {
            (TDEFLStatus::Okay, used) if used == bytes.len() => Ok(compressed),
            (status, _) => Err(io::Error::other(format!("compression failed: {status:?}"))),
        }
    }

    /// Is there something to give back?
    pub(super) fn is_awake(&self) -> bool {
        self.compressor.is_some()
    }

    /// Forgets what was said: nothing new will refer to it, which the peer need not know (RFC 4978 §4).
    pub(super) fn rest(&mut self) {
        self.compressor = None;
    }
}

/// What was said is not shown.
impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("awake", &self.is_awake()).finish_non_exhaustive()
    }
}

/// Decompresses what comes in.
pub(super) struct Inflater {
    /// Eleven kilobytes; nothing while no block has begun.
    decoder: Option<Box<DecompressorOxide>>,
    /// Where the decoder was when it was given back.
    between: BlockBoundaryState,
    input: Vec<u8>,
    /// How much of the input is used up.
    used: usize,
    /// What came last, up to `end`; then room for what comes.
    window: Vec<u8>,
    end: usize,
    /// May more come out, though nothing more goes in?
    pending: bool,
    awake: bool,
}

impl Inflater {
    /// For a stream that begins with these bytes.
    pub(super) fn new(input: Vec<u8>) -> Inflater {
        let (between, pending) = (BlockBoundaryState::default(), !input.is_empty());
        Inflater { decoder: None, between, input, used: 0, window: Vec::new(), end: 0, pending, awake: true }
    }

    /// Waits for bytes and says how many [`piece`](Inflater::piece) now has: none at the end, whether the peer closed or
    /// ended its compressed stream. An error is the peer's fault. While it waits it may be dropped, and nothing is lost.
    pub(super) async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        loop {
            if self.pending {
                if let Some(count) = self.inflate()? {
                    return Ok(count);
                }
                self.pending = false;
                // Blocks can be empty: who sends many of them costs much and gives nothing, and must not hold up others.
                yield_now().await;
            }
            self.input.clear();
            self.used = 0;
            self.input.reserve(READ_BYTES);
            // A peer that breaks off has no more to say either.
            if stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return Ok(0);
            }
            self.pending = true;
            self.awake = true;
        }
    }

    /// The bytes that came last.
    pub(super) fn piece(&self, count: usize) -> &[u8] {
        &self.window[self.end - count..self.end]
    }

    /// Is there something to give back?
    pub(super) fn is_awake(&self) -> bool {
        self.awake
    }

    /// Gives back all but the text that may be referred to, and the decoder if no block has begun.
    pub(super) fn rest(&mut self) {
        self.awake = false;
        self.forget();
        self.window.truncate(self.end);
        self.window.shrink_to_fit();
        self.input = self.input.split_off(self.used);
        self.used = 0;
        if let Some(between) = self.decoder.as_ref().and_then(|decoder| decoder.block_boundary_state()) {
            self.between = between;
            self.decoder = None;
        }
    }

    /// The size of the next piece, which is 0 for the end; nothing if that takes more input.
    fn inflate(&mut self) -> io::Result<Option<usize>> {
        loop {
            self.make_room();
            let again = || Box::new(DecompressorOxide::from_block_boundary_state(&self.between));
            let decoder = self.decoder.get_or_insert_with(again);
            let (status, used, count) = decompress(decoder, &self.input[self.used..], &mut self.window, self.end, FLAGS);
            self.used += used;
            self.end += count;
            match status {
                // A fault behind these bytes is found again when they were taken.
                _ if count > 0 => return Ok(Some(count)),
                TINFLStatus::BlockBoundary => {}
                TINFLStatus::NeedsMoreInput => return Ok(None),
                TINFLStatus::Done => return Ok(Some(0)),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "what came is not DEFLATE")),
            }
        }
    }

    fn make_room(&mut self) {
        if self.end == WINDOW_BYTES_MAX {
            self.forget();
        } else if self.end == self.window.len() {
            self.window.resize((2 * self.end).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX), 0);
        }
    }

    /// What no match can reach any more makes room.
    fn forget(&mut self) {
        let start = self.end.saturating_sub(HISTORY_BYTES_MAX);
        self.window.copy_within(start..self.end, 0);
        self.end -= start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::*;

    /// What comes of these bytes, until nothing comes any more.
    fn inflated(inflater: &mut Inflater, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut text = Vec::new();
            loop {
                let count = inflater.read(&mut bytes).await?;
                text.extend_from_slice(inflater.piece(count));
                assert!(count <= WINDOW_BYTES_MAX && inflater.window.len() <= WINDOW_BYTES_MAX);
                if count == 0 {
                    return Ok(text);
                }
            }
        })
    }

    fn fresh() -> Inflater {
        Inflater::new(Vec::new())
    }

    /// Bytes that do not repeat.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// What is said in one go: words that repeat, noise, and much of one byte.
    fn said() -> impl Strategy<Value = Vec<u8>> {
        let line = || proptest::sample::select(vec![&b"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n"[..], b"a OK Done\r\n", b"* 2 EXISTS\r\n"]);
        prop_oneof![
            4 => proptest::collection::vec(line(), 0..20).prop_map(|lines| lines.concat()),
            2 => proptest::collection::vec(any::<u8>(), 0..5_000),
            1 => (any::<u8>(), 0usize..200_000).prop_map(|(byte, count)| vec![byte; count]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_said_arrives_with_each_flush_in_any_pieces(
            all in proptest::collection::vec((said(), any::<bool>(), any::<bool>()), 1..12),
            piece in prop_oneof![Just(1usize), 2usize..50, Just(100_000usize)],
        ) {
            let (mut deflater, mut inflater) = (Deflater::default(), fresh());
            for (text, we_rest, they_rest) in all {
                let compressed = deflater.compress(&text).unwrap();
                prop_assert!(compressed.ends_with(&[0, 0, 0xff, 0xff]), "readers that wait for whole blocks wait for this");
                let mut arrived = Vec::new();
                for piece in compressed.chunks(piece) {
                    arrived.extend(inflated(&mut inflater, piece).unwrap());
                    if they_rest {
                        inflater.rest();
                    }
                }
                prop_assert!(arrived == text);
                if we_rest {
                    deflater.rest();
                }
            }
        }

        #[test]
        fn noise_never_panics_and_is_bounded(noise in proptest::collection::vec(any::<u8>(), 0..2_000), rests in any::<bool>()) {
            let mut inflater = fresh();
            for piece in noise.chunks(100) {
                if inflated(&mut inflater, piece).is_err() {
                    prop_assert!(inflated(&mut inflater, piece).is_err());
                }
                if rests {
                    inflater.rest();
                }
            }
        }
    }

    #[test]
    fn a_match_reaches_back_over_the_whole_history_and_no_further() {
        // A block of the fixed codes with a match of 258 bytes, 32768 bytes back, then an empty stored block.
        let far = [0x1a, 0xbd, 0xff, 0x1f, 0x00, 0x00, 0x00, 0xff, 0xff];
        for (history, reaches) in [(HISTORY_BYTES_MAX, true), (HISTORY_BYTES_MAX - 1, false)] {
            let history = noise(history);
            let count = u16::try_from(history.len()).unwrap();
            let stored = [&[0][..], &count.to_le_bytes(), &(!count).to_le_bytes(), &history].concat();
            let mut inflater = fresh();
            for _ in 0..3 {
                assert!(inflated(&mut inflater, &stored).unwrap() == history);
                inflater.rest();
                assert_eq!((inflater.window.capacity(), inflater.decoder.is_none()), (inflater.window.len(), true));
                if !reaches {
                    break;
                }
                assert!(inflated(&mut inflater, &far).unwrap() == history[..258]);
            }
            assert_eq!(inflater.window.len() > history.len(), reaches);
            assert_eq!(inflated(&mut inflater, &far).is_err(), !reaches);
        }
    }

    /// zlib's Z_PARTIAL_FLUSH ends within a byte, and no marker stands there that a reader could wait for.
    #[test]
    fn a_partial_flush_is_enough() {
        let mut inflater = fresh();
        let flushed: [(&[u8], &[u8]); 3] = [
            (&[0x4a, 0x54, 0xf0, 0xf3, 0xf7, 0x0f, 0xe0, 0xe5, 0x02, 0x08], b"a NOOP\r\n"),
            (&[0xa0, 0x24, 0x28, 0x0d, 0x10], b"b NOOP\r\n"),
            (&[0x40, 0xc9, 0x0a, 0x3e, 0xfe, 0xee, 0xfe, 0xa1, 0x21, 0xbc, 0x5c, 0x00, 0x01], b"c LOGOUT\r\n"),
        ];
        for (compressed, text) in flushed {
            let arrived: Vec<u8> = compressed.chunks(1).flat_map(|byte| inflated(&mut inflater, byte).unwrap()).collect();
            assert_eq!(String::from_utf8_lossy(&arrived), String::from_utf8_lossy(text));
            inflater.rest();
        }
    }

    #[test]
    fn who_rests_holds_what_was_said_and_no_more() {
        // Every connection has room for these, whether it is compressed or not.
        assert!(size_of::<Option<Deflater>>() + size_of::<Option<Inflater>>() < 256);
        let mut deflater = Deflater::default();
        let mut inflater = Inflater::new(deflater.compress(b"a IDLE\r\n").unwrap());
        assert_eq!(inflated(&mut inflater, b"").unwrap(), b"a IDLE\r\n");
        assert!(inflater.is_awake() && deflater.is_awake());
        inflater.rest();
        deflater.rest();
        assert!(!inflater.is_awake() && !deflater.is_awake());
        assert_eq!((inflater.window.capacity(), inflater.input.capacity(), inflater.decoder.is_none()), (8, 0, true));
        assert_eq!(inflated(&mut inflater, &deflater.compress(b"DONE\r\n").unwrap()).unwrap(), b"DONE\r\n");
    }

    #[test]
    fn a_bomb_comes_in_pieces() {
        let mut inflater = fresh();
        let bomb = compress_to_vec(&vec![0; 30_000_000], 9);
        assert!(bomb.len() < 50_000);
        let mut bytes = 0;
        for piece in bomb.chunks(READ_BYTES) {
            bytes += inflated(&mut inflater, piece).unwrap().len();
        }
        assert_eq!(bytes, 30_000_000);
    }

    #[test]
    fn a_stream_that_ends_has_ended() {
        let mut inflater = fresh();
        let ended = [compress_to_vec(b"a LOGOUT\r\n", 6), b"more".to_vec()].concat();
        assert_eq!(inflated(&mut inflater, &ended).unwrap(), b"a LOGOUT\r\n");
        assert_eq!(inflated(&mut inflater, b"even more").unwrap(), b"");
    }

    #[test]
    fn what_is_not_deflate_is_an_error() {
        let mut deflater = Deflater::default();
        let first = deflater.compress(&noise(100)).unwrap();
        let refers_to_first = deflater.compress(&noise(100)).unwrap();
        assert!(refers_to_first.len() < 50);
        // zlib puts a header in front, unless it is told not to.
        let zlib = [0x78, 0x9c, 0x4b, 0x54, 0x02, 0x00];
        for wrong in [b"a NOOP\r\n", &[0xff][..], &zlib, &refers_to_first, b"\x00\x01\x00\x00\x00"] {
            assert_eq!(inflated(&mut fresh(), wrong).unwrap_err().kind(), ErrorKind::InvalidData, "{wrong:?}");
        }
        // What came before the fault was said.
        let mut inflater = Inflater::new([&first[..], &[0xff]].concat());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert_eq!(inflater.read(&mut &b""[..]).await.unwrap(), 100);
            assert!(inflater.read(&mut &b""[..]).await.is_err() && inflater.read(&mut &b"\0"[..]).await.is_err());
        });
    }
}

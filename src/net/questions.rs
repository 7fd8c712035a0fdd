//! Questions of one message and answers of one message, over UDP and over TCP (RFC 1035 §4.2).
//!
//! [`answer_datagrams`] answers one after the other; [`answer_stream`] serves a connection that `listen` accepted.
//! Reads bytes from strangers, whose addresses over UDP may be those of victims: who answers decides how much.

use super::listen::told;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

/// A question with all that may be added to it; others are not read.
const QUESTION_BYTES_MAX: usize = 1_232;

/// RFC 7766 §6.2.3 wants idle connections closed after seconds.
const IDLE: Duration = Duration::from_secs(10);

/// Then a connection has had its share, and a client opens another.
const QUESTIONS_PER_CONNECTION_MAX: usize = 100;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// UDP: the sender's address proves nothing.
    Datagram,
    /// TCP.
    Stream,
}

/// Answers questions.
pub trait Answers: Send + Sync + 'static {
    /// The answer to one, or nothing at all.
    fn answer(&self, question: &[u8], from: IpAddr, way: Way) -> Option<Vec<u8>>;
}

/// Answers the datagrams of a socket until the server stops.
pub async fn answer_datagrams(socket: UdpSocket, answers: Arc<impl Answers>, mut shutdown: watch::Receiver<bool>) {
    // One octet more, which tells a question that is too long.
    let mut question = [0; QUESTION_BYTES_MAX + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut question) => received,
            () = told(&mut shutdown) => return,
        };
        // An error tells of an earlier answer that came nowhere.
        let Ok((length, from)) = received else { continue };
        let Some(question) = question.get(..length).filter(|question| question.len() <= QUESTION_BYTES_MAX) else { continue };
        // Nobody asks from port 0.
        if from.port() != 0
            && let Some(answer) = answers.answer(question, from.ip().to_canonical(), Way::Datagram)
        {
            // A network that cannot be reached now is the asker's loss.
            _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Answers the questions of a connection, each behind its length in two octets, until it has been idle or the server stops.
pub async fn answer_stream(stream: TcpStream, peer: SocketAddr, answers: Arc<impl Answers>, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        // An error is the peer's affair.
        _ = converse(stream, peer, answers) => {}
        () = told(&mut shutdown) => {}
    }
}

async fn converse(mut stream: TcpStream, peer: SocketAddr, answers: Arc<impl Answers>) -> io::Result<()> {
    for _ in 0..QUESTIONS_PER_CONNECTION_MAX {
        let length = usize::from(timeout(IDLE, stream.read_u16()).await??);
        if length > QUESTION_BYTES_MAX {
            return Ok(());
        }
        let mut question = vec![0; length];
        timeout(IDLE, stream.read_exact(&mut question)).await??;
        let Some(answer) = answers.answer(&question, peer.ip().to_canonical(), Way::Stream) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
    Ok(())
}

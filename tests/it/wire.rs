//! A blocking connection to the daemon, plain or under TLS, with a time limit on everything.
//!
//! Reads lines and counted bytes. Trusts nobody but the daemon's authority; every daemon's certificate covers `localhost`.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// To answer a command, on a busy machine in a debug build.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A peer that sends lines without end is not waited for.
const LINE_BYTES_MAX: usize = 1 << 20;

const READ_BYTES: usize = 16 * 1024;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

/// Where a server listens: a port of 127.0.0.1, or any address of this machine.
pub struct Place(SocketAddr);

impl From<u16> for Place {
    fn from(port: u16) -> Place {
        Place((Ipv4Addr::LOCALHOST, port).into())
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Place {
        Place(address)
    }
}

pub struct Wire {
    stream: Stream,
    read: Vec<u8>,
    used: usize,
}

impl Wire {
    /// A plain connection.
    pub fn plain(place: impl Into<Place>) -> io::Result<Wire> {
        let stream = TcpStream::connect_timeout(&place.into().0, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream: Stream::Plain(stream), read: Vec::new(), used: 0 })
    }

    /// A connection that begins with TLS.
    pub fn tls(place: impl Into<Place>, tls: &Arc<ClientConfig>) -> io::Result<Wire> {
        let mut wire = Wire::plain(place)?;
        wire.start_tls(tls)?;
        Ok(wire)
    }

    /// Turns a plain connection to TLS.
    pub fn start_tls(&mut self, tls: &Arc<ClientConfig>) -> io::Result<()> {
        if self.used < self.read.len() {
            return Err(io::Error::new(ErrorKind::InvalidData, "the server sent plain bytes before its handshake"));
        }
        let Stream::Plain(mut stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::other("TLS is on already"));
        };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, stream)));
        Ok(())
    }

    /// The port on our side, by which the connection is known to others.
    pub fn local_port(&self) -> io::Result<u16> {
        Ok(self.socket()?.local_addr()?.port())
    }

    fn socket(&self) -> io::Result<&TcpStream> {
        match &self.stream {
            Stream::Plain(stream) => Ok(stream),
            Stream::Tls(stream) => Ok(&stream.sock),
            Stream::Gone => Err(ErrorKind::NotConnected.into()),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream: &mut dyn Write = match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream,
            Stream::Gone => return Err(ErrorKind::NotConnected.into()),
        };
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// A line without its CRLF; LF alone is an error, and so is the end.
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = self.used;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.read[self.used..searched + end].to_vec();
                self.used = searched + end + 1;
                return line.strip_suffix(b"\r").map(<[u8]>::to_vec).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "LF without CR"));
            }
            if self.read.len() - self.used > LINE_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line without end"));
            }
            let unread = self.read.len() - self.used;
            self.fill()?;
            searched = self.used + unread;
        }
    }

    /// Exactly so many bytes.
    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() - self.used < count {
            self.fill()?;
        }
        let bytes = self.read[self.used..self.used + count].to_vec();
        self.used += count;
        Ok(bytes)
    }

    /// All that comes until the server closes.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(self.read.split_off(self.used)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads at least one byte more.
    fn fill(&mut self) -> io::Result<()> {
        self.read.drain(..self.used);
        self.used = 0;
        let mut bytes = vec![0; READ_BYTES];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut bytes)?,
            Stream::Tls(stream) => stream.read(&mut bytes)?,
            Stream::Gone => return Err(ErrorKind::NotConnected.into()),
        };
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&bytes[..count]);
        Ok(())
    }
}

/// A server that reads what comes and says what it was told to, for the tests of the clients.
#[cfg(test)]
pub fn scripted(replies: &'static [u8]) -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(replies).expect("the client listens");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the client speaks and closes");
        heard
    });
    (port, heard)
}

#[test]
fn lines_and_counted_bytes_are_kept_apart() {
    let (port, heard) = scripted(b"one\r\n\r\nabc\r\nde\r\n rest");
    let mut wire = Wire::plain(port).unwrap();
    assert_eq!(wire.line().unwrap(), b"one");
    assert_eq!(wire.line().unwrap(), b"");
    assert_eq!(wire.exactly(7).unwrap(), b"abc\r\nde");
    assert_eq!(wire.line().unwrap(), b"");
    wire.send(b"bye").unwrap();
    wire.stream_shutdown();
    assert_eq!(wire.rest().unwrap(), b" rest");
    assert_eq!(heard.join().unwrap(), b"bye");
}

#[test]
fn a_lone_line_feed_is_an_error() {
    let (port, _heard) = scripted(b"one\n");
    assert_eq!(Wire::plain(port).unwrap().line().unwrap_err().kind(), ErrorKind::InvalidData);
}

#[cfg(test)]
impl Wire {
    fn stream_shutdown(&self) {
        self.socket().and_then(|socket| socket.shutdown(std::net::Shutdown::Write)).expect("connected");
    }
}

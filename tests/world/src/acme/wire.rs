//! The few words of HTTP/1.1 that an ACME conversation takes: one request a connection, with a length.

use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A client of ours sends a few kilobytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse(&bytes)? {
            return Ok(request);
        }
        if bytes.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut bytes).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// `None` until the request is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Request>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| ErrorKind::InvalidData)?;
    let mut lines = head.split("\r\n");
    let mut start = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (start.next().unwrap_or_default().to_owned(), start.next().unwrap_or_default().to_owned());
    let fields: Vec<(String, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value.trim())).collect();
    let field = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
    let length: usize = field("content-length").map_or(Ok(0), str::parse).map_err(|_| ErrorKind::InvalidData)?;
    let content_type = field("content-type").map(str::to_owned);
    let body = bytes[end + 4..].get(..length).map(<[u8]>::to_vec);
    Ok(body.map(|body| Request { method, path, content_type, body }))
}

pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), reply: &Reply, with_body: bool) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    if with_body {
        stream.write_all(&reply.body).await?;
    }
    stream.shutdown().await
}

//! A web browser's smallest half, written for the tests: one request, one connection, HTTP/1.1.

use crate::wire::Wire;
use rustls::ClientConfig;
use std::io::{self, ErrorKind};
use std::sync::Arc;

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Where a request goes.
pub struct Site<'a> {
    pub port: u16,
    /// For HTTPS.
    pub tls: Option<&'a Arc<ClientConfig>>,
}

impl Site<'_> {
    pub fn get(&self, path: &str) -> io::Result<Response> {
        self.request(&format!("GET {path}"), "", "")
    }

    /// Sends a form, as a page of ours does: with the page as origin, and with its cookie if there is one.
    pub fn post(&self, path: &str, cookie: Option<&str>, fields: &[(&str, &str)]) -> io::Result<Response> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let form = fields.join("&");
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let headers = format!(
            "Origin: {scheme}://localhost:{}\r\n{cookie}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            self.port,
            form.len()
        );
        self.request(&format!("POST {path}"), &headers, &form)
    }

    fn request(&self, start: &str, headers: &str, body: &str) -> io::Result<Response> {
        let mut wire = match self.tls {
            Some(tls) => Wire::tls(self.port, tls)?,
            None => Wire::plain(self.port)?,
        };
        let host = format!("Host: localhost:{}\r\n", self.port);
        wire.send(format!("{start} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n{body}").as_bytes())?;
        parse(&wire.rest()?).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "not an HTTP response"))
    }
}

/// RFC 9112 §2.1, §6: status line, fields, and a body that ends with its length, its last chunk or the connection.
fn parse(response: &[u8]) -> Option<Response> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&response[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers: Option<Vec<_>> =
        lines.map(|line| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))).collect();
    let mut response_without_body = Response { status, headers: headers?, body: String::new() };
    let body = &response[end + 4..];
    let body = match (response_without_body.header("transfer-encoding"), response_without_body.header("content-length")) {
        (Some(coding), _) => coding.eq_ignore_ascii_case("chunked").then(|| unchunked(body))??,
        (None, Some(length)) => body.get(..length.parse().ok()?)?.to_vec(),
        (None, None) => body.to_vec(),
    };
    response_without_body.body = String::from_utf8(body).ok()?;
    Some(response_without_body)
}

/// RFC 9112 §7.1, without extensions.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        let chunk = body.get(end + 2..)?;
        whole.extend_from_slice(chunk.get(..size)?);
        if size == 0 {
            return Some(whole);
        }
        body = chunk.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// As a form's values are written.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[test]
fn responses_with_every_kind_of_body() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    assert_eq!(parse(chunked).unwrap().body, "abc0123456789");
    let counted = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX-Y: z\r\n\r\nno more").unwrap();
    assert_eq!((counted.status, counted.body.as_str(), counted.header("x-y")), (404, "no", Some("z")));
    assert_eq!(parse(b"HTTP/1.1 303 See Other\r\nLocation: /demo\r\n\r\n").unwrap().header("location"), Some("/demo"));
    for cut in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ] {
        assert!(parse(cut).is_none());
    }
}

#[test]
fn form_values_are_encoded() {
    assert_eq!(encoded("a+b@c.d é"), "a%2Bb%40c%2Ed%20%C3%A9");
}

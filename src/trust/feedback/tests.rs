//! Reports in every wrapping, and what only looks like one.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_auth::flate2::Compression;
use mail_auth::flate2::write::GzEncoder;
use std::io::Write;

pub(crate) const DMARC: &str = "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>Big\nMail</org_name><email>a@big.example</email>\
    <report_id>7</report_id><date_range><begin>1</begin><end>2</end></date_range></report_metadata><policy_published>\
    <domain>Stoa.example</domain><p>reject</p></policy_published>\
    <record><row><source_ip>192.0.2.1</source_ip><count>5</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim>\
    <spf>fail</spf></policy_evaluated></row><identifiers><header_from>stoa.example</header_from></identifiers></record>\
    <record><row><source_ip>203.0.113.9</source_ip><count>3</count><policy_evaluated><disposition>reject</disposition><dkim>fail</dkim>\
    <spf>fail</spf></policy_evaluated></row><identifiers><header_from>stoa.example</header_from></identifiers></record></feedback>";

const TLS: &str = "{\"organization-name\":\"Big\",\"report-id\":\"8\",\"date-range\":{\"start-datetime\":\"2026-11-24T00:00:00Z\",\
    \"end-datetime\":\"2026-11-24T23:59:59Z\"},\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-domain\":\"stoa.example\"},\
    \"summary\":{\"total-successful-session-count\":40,\"total-failure-session-count\":2},\"failure-details\":[{\"result-type\":\
    \"certificate-expired\",\"failed-session-count\":2}]}]}";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

/// A message with a text and an attachment in base64.
pub(crate) fn message(attachment: &[u8]) -> Vec<u8> {
    format!(
        "From: reports@big.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee below.\r\n--b\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        STANDARD.encode(attachment)
    )
    .into_bytes()
}

#[test]
fn a_report_is_read_whatever_it_is_packed_in() {
    for packed in [DMARC.as_bytes().to_vec(), gzip(DMARC.as_bytes())] {
        let heard = read(&message(&packed)).unwrap();
        let expected = Heard {
            about: About::Dmarc,
            reporter: "Big?Mail".into(),
            id: "7".into(),
            domain: "stoa.example".into(),
            good: 5,
            bad: 3,
            details: vec![("203.0.113.9".into(), 3)],
        };
        assert_eq!(heard, [expected]);
    }
    let heard = read(&message(&gzip(TLS.as_bytes()))).unwrap().remove(0);
    assert_eq!((heard.about, heard.good, heard.bad, heard.details), (About::Tls, 40, 2, vec![("certificate-expired".into(), 2)]));
}

#[test]
fn what_is_no_report_is_not_read() {
    let bomb = gzip(&vec![b' '; REPORT_BYTES_MAX as usize + 1]);
    let cut = gzip(DMARC.as_bytes());
    for attachment in [&b"hello"[..], b"<html/>", b"{}", b"PK\x03\x04", b"", &bomb, &cut[..cut.len() / 2]] {
        assert_eq!(read(&message(attachment)), None);
    }
    let inner = message(DMARC.as_bytes());
    let passed_on = [&b"Content-Type: message/rfc822\r\n\r\n"[..], &inner].concat();
    assert_eq!(read(&passed_on), None, "nobody answers for what is passed on");
}

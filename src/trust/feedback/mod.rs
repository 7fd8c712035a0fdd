//! Reports of other servers about our domains: DMARC aggregate reports (RFC 9990) and TLS reports (RFC 8460), as sums.
//!
//! Pure; reads a whole message of a stranger who proved a domain, which says nothing of whether the report is true. XML,
//! JSON, gzip and zip are told apart by their first octets, whatever the part is called. What is unpacked, and what is kept of
//! it, is bounded; mail-auth reads XML and JSON.

#[cfg(test)]
pub(crate) mod tests;

use mail_auth::flate2::read::GzDecoder;
use mail_auth::report::tlsrpt::TlsReport;
use mail_auth::report::{DmarcResult, Report};
use mail_auth::zip::ZipArchive;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use stoa_mime::transfer::{Encoding, decode};
use stoa_mime::{Content, Part, Scanner};

/// Octets of a message with a report; RFC 9990 lets reporters send some megabytes, which hold a large provider's day.
pub const MESSAGE_BYTES_MAX: u64 = 10 << 20;

/// Octets of a report when it is unpacked.
const REPORT_BYTES_MAX: u64 = 32 << 20;

/// Records of one report.
const RECORDS_MAX: usize = 50_000;

/// Kept of what failed: addresses, or kinds of failure. The most frequent are kept.
const DETAILS_MAX: usize = 20;

/// Characters of a name that a reporter gives itself or a failure.
const NAME_CHARS_MAX: usize = 100;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Mail in our name.
    Dmarc,
    /// Connections to us.
    Tls,
}

/// What a report says of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What of.
    pub about: About,
    /// Who tells it, in their own words, on one line.
    pub reporter: String,
    /// The reporter's name for the report.
    pub id: String,
    /// The domain, in lower case.
    pub domain: String,
    /// Messages, or connections, that were as they should be.
    pub good: u64,
    /// And that were not.
    pub bad: u64,
    /// Of these: the sending addresses, or the kinds of failure, the most frequent first.
    pub details: Vec<(String, u64)>,
}

/// Reads the report in a message. `None` if there is none that can be read.
pub fn read(message: &[u8]) -> Option<Vec<Heard>> {
    let mut scanner = Scanner::new();
    scanner.feed(message);
    let mut leaves = Vec::new();
    let scanned = scanner.finish();
    gather(&scanned.part, &mut leaves);
    leaves.into_iter().find_map(|part| {
        let body = message.get(usize::try_from(part.body.start).ok()?..usize::try_from(part.body.end).ok()?)?;
        let packed = decode(Encoding::of(part.description.encoding.as_deref()), body);
        understand(&unpack(packed)?)
    })
}

fn gather<'a>(part: &'a Part, leaves: &mut Vec<&'a Part>) {
    match &part.content {
        Content::Leaf => leaves.push(part),
        Content::Multipart(parts) => parts.iter().for_each(|part| gather(part, leaves)),
        // A report that is passed on within a message is nobody's word.
        Content::Message(_) => {}
    }
}

fn unpack(packed: Vec<u8>) -> Option<Vec<u8>> {
    match packed.as_slice() {
        [0x1f, 0x8b, ..] => up_to_the_limit(GzDecoder::new(packed.as_slice())),
        [b'P', b'K', 3, 4, ..] => up_to_the_limit(ZipArchive::new(Cursor::new(&packed)).ok()?.by_index(0).ok()?),
        _ => Some(packed),
    }
}

fn up_to_the_limit(reader: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(REPORT_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= REPORT_BYTES_MAX).then_some(bytes)
}

fn understand(report: &[u8]) -> Option<Vec<Heard>> {
    match report.trim_ascii_start().strip_prefix(b"\xef\xbb\xbf").unwrap_or(report.trim_ascii_start()) {
        [b'<', ..] => dmarc(&Report::parse_xml(report).ok()?).map(|heard| vec![heard]),
        [b'{', ..] => tls(&TlsReport::parse_json(report).ok()?),
        _ => None,
    }
}

/// RFC 9990 §3.1: a message failed if neither SPF nor DKIM was aligned.
fn dmarc(report: &Report) -> Option<Heard> {
    if report.record.len() > RECORDS_MAX {
        return None;
    }
    let (mut good, mut bad, mut sources) = (0_u64, 0_u64, BTreeMap::<String, u64>::new());
    for row in report.record.iter().map(|record| &record.row) {
        let count = u64::from(row.count);
        if row.policy_evaluated.dkim == DmarcResult::Pass || row.policy_evaluated.spf == DmarcResult::Pass {
            good = good.saturating_add(count);
            continue;
        }
        bad = bad.saturating_add(count);
        let source = row.source_ip.map_or_else(|| "an address that is not told".to_owned(), |ip| ip.to_string());
        let all = sources.entry(source).or_default();
        *all = all.saturating_add(count);
    }
    Some(Heard {
        about: About::Dmarc,
        reporter: one_line(&report.report_metadata.org_name),
        id: one_line(&report.report_metadata.report_id),
        domain: one_line(&report.policy_published.domain).trim_end_matches('.').to_lowercase(),
        good,
        bad,
        details: most_frequent(sources),
    })
}

/// RFC 8460 §4.3: a report may tell of several policies and domains.
fn tls(report: &TlsReport) -> Option<Vec<Heard>> {
    if report.policies.iter().map(|policy| 1 + policy.failure_details.len()).sum::<usize>() > RECORDS_MAX {
        return None;
    }
    let of_policy = |policy: &mail_auth::report::tlsrpt::Policy| {
        let mut failures = BTreeMap::<String, u64>::new();
        for failure in &policy.failure_details {
            // The word of the standard, as JSON has it.
            let word = serde_json::to_value(failure.result_type).ok().and_then(|word| word.as_str().map(str::to_owned));
            let all = failures.entry(word.unwrap_or_else(|| "other".to_owned())).or_default();
            *all = all.saturating_add(failure.failed_session_count.into());
        }
        Heard {
            about: About::Tls,
            reporter: one_line(report.organization_name.as_deref().unwrap_or_default()),
            id: one_line(&report.report_id),
            domain: one_line(&policy.policy.policy_domain).trim_end_matches('.').to_lowercase(),
            good: policy.summary.total_success.into(),
            bad: policy.summary.total_failure.into(),
            details: most_frequent(failures),
        }
    };
    Some(report.policies.iter().map(of_policy).collect())
}

fn most_frequent(counted: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut counted: Vec<(String, u64)> = counted.into_iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counted.truncate(DETAILS_MAX);
    counted
}

fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { '?' } else { c }).take(NAME_CHARS_MAX).collect()
}

//! Tells other domains how TLS with them went, once a day, if they ask for it (RFC 8460).
//!
//! What the carrier counted is written down every few minutes. When a day of UTC is over, each of its domains that has
//! a `_smtp._tls` record gets a report, by mail on the ordinary way out or over HTTPS; for the others it is forgotten. A
//! day without a connection is never reported. The record comes from a stranger: it may name few places, and there is
//! an end to how many reports go out in a day.
//!
//! Known gap: a report by mail to a domain whose TLS is broken waits for it as other mail does (RFC 8460 §5.3 would
//! let it go without).

use super::Clock;
use super::smtp::SmtpCarrier;
use super::smtp::ledger::{self, DAY_SECONDS, Day};
use crate::delivery::{Delivery, Intake, Resolved};
use crate::net::dns::{DnsError, Resolver};
use crate::net::https::{Bounds, Https, Reach};
use crate::store::{Change, NoteChange, NoteKind, Queued, QueuedRecipient, Store, StoreError};
use crate::trust::Trust;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::mta_sts::{ReportUri, TlsRpt};
use mail_auth::report::tlsrpt::{DateRange, TlsReport};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use stoa_smtp::Address;
use tokio::sync::watch;

/// How often counts are written down, and looked at.
const EVERY: Duration = Duration::from_secs(300);

/// RFC 8460 §4.1: a random delay, so that not everybody reports at midnight.
const DELAY_SECONDS_MAX: i64 = 4 * 3600;

/// A report that could not go out is tried again so often, until its day is older than this.
const RETRY_SECONDS: i64 = 3600;
const OLDEST_DAYS: i64 = 3;

/// Places that one domain may name.
const PLACES_MAX: usize = 3;

/// Reports that go out in one round: this is a small server, and whoever runs many domains shall not make it busy.
const REPORTS_PER_ROUND_MAX: usize = 500;

/// RFC 8460 §5.4: over HTTPS.
const POST: Bounds = Bounds { time: Duration::from_secs(60), body_bytes_max: 16 << 10 };
const MEDIA_TYPE: &str = "application/tlsrpt+gzip";

/// The local part of who reports; RFC 8460 §5.3 wants a domain that the signature is of.
const WRITER: &str = "tls-reports";

/// Sends the reports of one server.
pub struct TlsReports {
    store: Store,
    delivery: Delivery,
    carrier: Arc<SmtpCarrier>,
    resolver: Resolver,
    https: Https,
    clock: Clock,
}

/// What became of a report.
enum Sent {
    /// It went out, or nobody wants it.
    Done,
    /// By mail, in a change of its own that also forgot the day.
    Queued,
    Later,
}

impl TlsReports {
    /// Reports what this carrier counts.
    pub fn new(store: Store, delivery: Delivery, carrier: Arc<SmtpCarrier>, resolver: Resolver, https: Https, clock: Clock) -> Self {
        Self { store, delivery, carrier, resolver, https, clock }
    }

    /// Works until the server shuts down.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let delay = i64::from(rand::random::<u16>()) % DELAY_SECONDS_MAX;
        let mut next = 0;
        loop {
            self.carrier.tidy().await;
            let now = (self.clock)();
            if now >= next && now.rem_euclid(DAY_SECONDS) >= delay {
                next = now + RETRY_SECONDS;
                if let Err(error) = self.send_due(now).await {
                    tracing::error!(%error, "reports on TLS cannot be sent now");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = async { _ = shutdown.wait_for(|down| *down).await } => return self.carrier.tidy().await,
            }
        }
    }

    /// Sends what is due of all days that are over.
    pub async fn send_due(&self, now: i64) -> Result<(), StoreError> {
        let today = now.div_euclid(DAY_SECONDS);
        for day in ledger::before(&self.store, today).await?.into_iter().take(REPORTS_PER_ROUND_MAX) {
            let is_old = today - day.day > OLDEST_DAYS;
            match self.send(&day, now).await? {
                Sent::Queued => {}
                Sent::Later if !is_old => {}
                Sent::Done | Sent::Later => ledger::forget(&self.store, &day).await?,
            }
        }
        Ok(())
    }

    async fn send(&self, day: &Day, now: i64) -> Result<Sent, StoreError> {
        let sessions: u64 =
            day.policies.iter().map(|policy| u64::from(policy.summary.total_success) + u64::from(policy.summary.total_failure)).sum();
        if sessions == 0 {
            return Ok(Sent::Done);
        }
        let places = match self.places(&day.domain).await {
            Ok(places) => places,
            Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => return Ok(Sent::Done),
            Err(_) => return Ok(Sent::Later),
        };
        let report = self.report(day);
        let mut sent = if places.is_empty() { Sent::Done } else { Sent::Later };
        for place in places {
            match place {
                ReportUri::Http(url) if self.post(&url, &report).await => return Ok(Sent::Done),
                ReportUri::Http(_) => {}
                ReportUri::Mail(address) => match self.mail(day, &report, &address, now).await? {
                    Some(queued) => return Ok(queued),
                    // An address that is none.
                    None => sent = Sent::Done,
                },
            }
        }
        Ok(sent)
    }

    /// RFC 8460 §3: one record that begins with `v=TLSRPTv1`.
    async fn places(&self, domain: &str) -> Result<Vec<ReportUri>, DnsError> {
        let texts = self.resolver.txt(&format!("_smtp._tls.{domain}")).await?.records;
        let mut records = texts.iter().filter_map(|text| TlsRpt::parse(text.as_bytes()).ok());
        let (Some(only), None) = (records.next(), records.next()) else { return Ok(Vec::new()) };
        Ok(only.rua.into_iter().take(PLACES_MAX).collect())
    }

    fn report(&self, day: &Day) -> TlsReport {
        let domain = self.delivery.names().primary_domain();
        let begin = day.day * DAY_SECONDS;
        TlsReport {
            organization_name: Some(domain.to_owned()),
            date_range: DateRange::from_timestamps(begin, begin + DAY_SECONDS - 1),
            contact_info: Some(format!("postmaster@{domain}")),
            report_id: format!("{}.{}@{domain}", day.day, day.domain),
            policies: day.policies.clone(),
        }
    }

    async fn post(&self, url: &str, report: &TlsReport) -> bool {
        let Ok(body) = compressed(report) else { return false };
        match self.https.post(url, MEDIA_TYPE, body, Reach::Public, POST).await {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                tracing::info!(url, status = answer.status().as_u16(), "a report on TLS was not taken");
                false
            }
            Err(error) => {
                tracing::info!(url, %error, "a report on TLS could not be handed over");
                false
            }
        }
    }

    /// Queues the report and forgets its day in one change.
    async fn mail(&self, day: &Day, report: &TlsReport, address: &str, now: i64) -> Result<Option<Sent>, StoreError> {
        let Some(to) = Address::parse(address) else { return Ok(None) };
        let resolved = self.delivery.recipient(&to).await?;
        let domain = self.delivery.names().primary_domain();
        let from = format!("{WRITER}@{domain}");
        let mut text = Vec::new();
        if report.write_rfc5322(&day.domain, domain, from.as_str(), std::iter::once(address), &mut text).is_err() {
            return Ok(None);
        }
        let mut intake = Intake::new(&self.store, Bytes::new(), now);
        intake.push(&text).await?;
        let filing = intake.finish().await?.filing(&Trust::of_stranger());
        let forgotten = NoteChange::remove(NoteKind::TlsReport, day.key().to_vec());
        let filing = crate::store::Delivery { received: now, now, notes: vec![forgotten], ..filing };
        let filing = match resolved {
            Resolved::Local(place) => crate::store::Delivery { mailboxes: vec![place], ..filing },
            Resolved::Elsewhere => {
                let recipient = QueuedRecipient { notify: NOTIFY_NEVER, ..QueuedRecipient::new(address.to_owned(), now) };
                let queued = Queued::of(String::new(), Bytes::new(), filing.body.reference(), now, vec![recipient]);
                let queued = Queued { signer: Some(domain.to_owned()), ..queued };
                crate::store::Delivery { queue: Some((self.delivery.new_id(now), queued)), ..filing }
            }
            Resolved::Unknown => return Ok(None),
        };
        self.store.commit(Change::Deliver(Box::new(filing))).await?;
        Ok(Some(Sent::Queued))
    }
}

/// RFC 3461 §4.1: nobody is told if it does not arrive.
const NOTIFY_NEVER: u8 = 1;

fn compressed(report: &TlsReport) -> std::io::Result<Bytes> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(report.to_json().as_bytes())?;
    Ok(gzip.finish()?.into())
}

#[cfg(test)]
mod tests;

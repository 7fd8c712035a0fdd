//! What was measured, as a table for people and as JSON for programs.
//!
//! A row is printed as soon as it is there, since a whole run takes minutes.

use super::super::say;
use super::meter::{Cost, Measured};
use serde::Serialize;
use std::time::Duration;

/// Heads of the columns after the first, and how wide each is.
const COLUMNS: [(&str, usize); 9] = [
    ("operations", 10),
    ("wall s", 9),
    ("per s", 10),
    ("median ms", 10),
    ("p95 ms", 10),
    ("CPU s/1000", 11),
    ("later", 9),
    ("RSS MB", 8),
    ("PSS MB", 8),
];
const NAME_CHARS: usize = 46;
const KB_PER_MB: f64 = 1024.0;
/// The server works on for longer than it takes us to look.
const BUSY_AFTER_WORTH_SAYING: Duration = Duration::from_millis(500);

/// All that was measured.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) about: About,
    rows: Vec<Row>,
}

/// Of what and how.
#[derive(Serialize)]
pub(super) struct About {
    pub(super) bench_version: &'static str,
    pub(super) host: String,
    pub(super) smtp_greeting: Option<String>,
    pub(super) imap_greeting: Option<String>,
    pub(super) imap_security: Option<&'static str>,
    pub(super) began: String,
}

/// A measurement; what was not measured is absent.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    name: String,
    operations: u64,
    wall_seconds: f64,
    per_second: Option<f64>,
    median_ms: Option<f64>,
    p95_ms: Option<f64>,
    cpu_seconds: Option<f64>,
    cpu_seconds_later: Option<f64>,
    cpu_seconds_per_1000: Option<f64>,
    busy_seconds_after: Option<f64>,
    processes: Option<u64>,
    rss_kb: Option<u64>,
    pss_kb: Option<u64>,
    note: String,
    error: Option<String>,
}

impl Report {
    /// Begins the table.
    pub(super) fn begin(about: About) -> Report {
        for line in about.lines() {
            say(&line);
        }
        say(&heads());
        Report { about, rows: Vec::new() }
    }

    /// Adds a measurement, or why there is none.
    pub(super) fn add(&mut self, name: &str, measured: anyhow::Result<Measured>) {
        let row = match measured {
            Ok(measured) => Row::of(name, &measured),
            Err(error) => Row { name: name.to_owned(), error: Some(format!("{error:#}")), ..Row::default() },
        };
        say(&row.text());
        self.rows.push(row);
    }

    /// How many measurements failed.
    pub(super) fn failures(&self) -> usize {
        self.rows.iter().filter(|row| row.error.is_some()).count()
    }
}

impl About {
    fn lines(&self) -> Vec<String> {
        let greeting = |name: &str, line: &Option<String>| line.as_ref().map(|line| format!("{name} at {}: {line}", self.host));
        let imap = self.imap_security.unwrap_or_default();
        let explained = "\"CPU s/1000\" is the server's CPU time for 1,000 operations; \"later\" is what of it came after the last answer.";
        let lines = [greeting("SMTP", &self.smtp_greeting), greeting(imap, &self.imap_greeting), Some(explained.to_owned())];
        lines.into_iter().flatten().chain([String::new()]).collect()
    }
}

impl Row {
    fn of(name: &str, measured: &Measured) -> Row {
        let Measured { work, wall, cost } = measured;
        let operations = work.operations;
        let thousands = (operations > 0).then_some(operations as f64 / 1000.0);
        let mut samples = work.samples.clone();
        samples.sort_unstable();
        let mut row = Row {
            name: name.to_owned(),
            operations,
            wall_seconds: wall.as_secs_f64(),
            per_second: (operations > 0).then(|| operations as f64 / wall.as_secs_f64()),
            median_ms: percentile(&samples, 50),
            p95_ms: percentile(&samples, 95),
            note: work.note.clone(),
            ..Row::default()
        };
        if let Some(cost) = cost {
            row.charge(cost, thousands);
        }
        row
    }

    fn charge(&mut self, cost: &Cost, thousands: Option<f64>) {
        self.cpu_seconds = Some(cost.cpu.as_secs_f64());
        self.cpu_seconds_later = Some(cost.cpu_later.as_secs_f64());
        self.cpu_seconds_per_1000 = thousands.map(|thousands| cost.cpu.as_secs_f64() / thousands);
        self.busy_seconds_after = Some(cost.busy_after.as_secs_f64());
        self.processes = Some(cost.memory.processes);
        self.rss_kb = Some(cost.memory.rss_kb);
        self.pss_kb = cost.memory.pss_kb;
        if cost.restless {
            self.remark("the server was never quiet, so CPU time may be missing or of something else".to_owned());
        } else if cost.busy_after >= BUSY_AFTER_WORTH_SAYING {
            self.remark(format!("at work {:.1} s longer", cost.busy_after.as_secs_f64()));
        }
    }

    fn remark(&mut self, text: String) {
        let mark = if self.note.is_empty() { "" } else { "; " };
        self.note.push_str(&format!("{mark}{text}"));
    }

    /// A line of the table.
    fn text(&self) -> String {
        if let Some(error) = &self.error {
            return format!("{:<NAME_CHARS$}  failed: {error}", self.name);
        }
        let later = self.cpu_seconds_later.zip(self.cpu_seconds_per_1000);
        let later = later.map(|(later, _)| later * 1000.0 / self.operations as f64);
        let megabytes = |kb: Option<u64>| kb.map(|kb| kb as f64 / KB_PER_MB);
        let cells = [
            self.operations.to_string(),
            number(Some(self.wall_seconds), 3),
            number(self.per_second, 1),
            number(self.median_ms, 2),
            number(self.p95_ms, 2),
            number(self.cpu_seconds_per_1000, 4),
            number(later, 4),
            number(megabytes(self.rss_kb), 1),
            number(megabytes(self.pss_kb), 1),
        ];
        line(&self.name, &cells, &self.note)
    }
}

fn heads() -> String {
    line("measurement", &COLUMNS.map(|(head, _)| head.to_owned()), "note")
}

fn line(name: &str, cells: &[String; COLUMNS.len()], note: &str) -> String {
    let cells = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}"));
    format!("{name:<NAME_CHARS$}{}  {note}", cells.collect::<String>()).trim_end().to_owned()
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Of sorted samples, in milliseconds; one sample is no distribution.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    if sorted.len() < 2 {
        return None;
    }
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).map(|sample| sample.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::meter::Work;
    use super::super::process::Memory;
    use super::*;

    fn measured() -> Measured {
        let memory = Memory { processes: 2, rss_kb: 20_480, pss_kb: Some(10_240) };
        let millis = Duration::from_millis;
        let cost = Cost { cpu: millis(500), cpu_later: millis(100), busy_after: millis(1400), restless: false, memory };
        let work = Work { operations: 2000, samples: (1..=100).rev().map(millis).collect(), note: "all arrived".to_owned() };
        Measured { work, wall: millis(4000), cost: Some(cost) }
    }

    #[test]
    fn a_row_says_what_an_operation_costs() {
        let row = Row::of("deliveries", &measured());
        assert_eq!((row.per_second, row.cpu_seconds_per_1000), (Some(500.0), Some(0.25)));
        assert_eq!((row.median_ms, row.p95_ms), (Some(50.0), Some(95.0)));
        let words: Vec<String> = row.text().split_whitespace().map(str::to_owned).collect();
        let want = ["deliveries", "2000", "4.000", "500.0", "50.00", "95.00", "0.2500", "0.0500", "20.0", "10.0", "all", "arrived;"];
        assert_eq!(words[..want.len()], want);
        assert!(row.text().ends_with("all arrived; at work 1.4 s longer"));
    }

    #[test]
    fn columns_stand_below_their_heads() {
        let (heads, row) = (heads(), Row::of("deliveries", &measured()).text());
        for (head, cell) in [("operations", "2000"), ("CPU s/1000", "0.2500"), ("PSS MB", "10.0")] {
            let end = |text: &str, part: &str| text.find(part).map(|at| at + part.len());
            assert_eq!(end(&heads, head), end(&row, cell), "{heads}\n{row}");
        }
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_what_failed_says_why() {
        let text = Row::of("memory", &Measured { work: Work::of(0), wall: Duration::ZERO, cost: None }).text();
        assert_eq!(text.matches(" -").count(), 7, "{text}");
        let mut report = Report {
            about: About {
                bench_version: "",
                host: String::new(),
                smtp_greeting: None,
                imap_greeting: None,
                imap_security: None,
                began: String::new(),
            },
            rows: Vec::new(),
        };
        report.add("reads", Err(anyhow::anyhow!("no such mailbox")));
        report.add("deliveries", Ok(measured()));
        assert_eq!(report.failures(), 1);
        assert!(report.rows[0].text().ends_with("failed: no such mailbox"));
    }

    #[test]
    fn percentiles_of_few() {
        let samples = [1, 2].map(Duration::from_millis);
        assert_eq!((percentile(&samples, 50), percentile(&samples, 95)), (Some(1.0), Some(2.0)));
        assert_eq!(percentile(&samples[..1], 50), None);
    }
}

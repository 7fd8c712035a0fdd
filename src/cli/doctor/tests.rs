//! The fault drill: every file of `tests/doctor` with the ending `.case` seeds mistakes into a server that is all good, and
//! says what is to be found and typed. A case:
//!
//! ```text
//! What is wrong, in a line.
//! zone- NAME TYPE          takes records out of good.zone
//! zone+ NAME TYPE DATA     puts one in
//! zone! NAME TYPE bogus    the answer is forged; `silent`: there is none
//! unsigned                 nothing in DNS is signed
//! fact KEY = VALUE         changes good.toml
//! find SEVERITY ID         everything wrong or better that is found, in any order
//! type TEXT                part of a line that the finding before has to be typed or pasted
//! ```

use super::answers::{Answer, Kind, Question, Silence};
use super::checks;
use super::facts::Facts;
use super::finding::{Area, Finding, Severity};
use crate::cli::dns::records::{Data, reverse_name};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// Seeded mistakes that there must be at least.
const CASES_MIN: usize = 20;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctor");

/// A world that answers questions.
#[derive(Default)]
struct Zone {
    records: Vec<(String, Data)>,
    silences: Vec<(String, String, Silence)>,
    unsigned: bool,
}

impl Zone {
    fn read(text: &str) -> Zone {
        let mut zone = Zone::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            zone.add(line);
        }
        zone
    }

    fn add(&mut self, line: &str) {
        let mut parts = line.splitn(3, ' ');
        let (name, kind, data) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        self.records.push((name.to_owned(), data_of(kind, data).unwrap_or_else(|| panic!("{line}"))));
    }

    fn remove(&mut self, line: &str) {
        let (name, kind) = line.split_once(' ').unwrap();
        let before = self.records.len();
        self.records.retain(|(own, data)| own != name || data.kind() != kind);
        assert!(self.records.len() < before, "there was no {line}");
    }

    fn silence(&mut self, line: &str) {
        let [name, kind, how] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let silence = if how == "bogus" { Silence::Bogus } else { Silence::Unavailable("nobody answers".into()) };
        self.silences.push((name.into(), kind.into(), silence));
    }

    fn answer(&self, (name, kind): &Question) -> Result<Answer, Silence> {
        let (name, kinds): (String, &[&str]) = match kind {
            Kind::Addresses => (name.clone(), &["A", "AAAA"]),
            Kind::Mx => (name.clone(), &["MX"]),
            Kind::Txt => (name.clone(), &["TXT"]),
            Kind::Srv => (name.clone(), &["SRV"]),
            Kind::Tlsa => (name.clone(), &["TLSA"]),
            Kind::Caa => (name.clone(), &["CAA"]),
            Kind::Cname => (name.clone(), &["CNAME"]),
            Kind::Names => (reverse_name(name.parse().unwrap()), &["PTR"]),
        };
        if let Some((_, _, silence)) = self.silences.iter().find(|(own, kind, _)| *own == name && kinds.contains(&kind.as_str())) {
            return Err(silence.clone());
        }
        let at = |name: &str| self.records.iter().filter(move |(own, _)| own == name).map(|(_, data)| data.clone()).collect::<Vec<_>>();
        let mut here = at(&name);
        if let [Data::Cname(target)] = here.as_slice()
            && *kind != Kind::Cname
        {
            here = at(target);
        }
        here.retain(|data| kinds.contains(&data.kind()));
        if here.is_empty() { Err(Silence::Nothing) } else { Ok(Answer { records: here, secure: !self.unsigned }) }
    }
}

/// Data as it is displayed, read again.
fn data_of(kind: &str, text: &str) -> Option<Data> {
    let name = |text: &str| text.strip_suffix('.').map(str::to_owned);
    let words: Vec<&str> = text.split(' ').collect();
    Some(match kind {
        "A" => Data::A(text.parse().ok()?),
        "AAAA" => Data::Aaaa(text.parse().ok()?),
        "MX" => Data::Mx { preference: words[0].parse().ok()?, host: name(words[1])? },
        "TXT" => Data::Txt(text.to_owned()),
        "SRV" => Data::Srv {
            priority: words[0].parse().ok()?,
            weight: words[1].parse().ok()?,
            port: words[2].parse().ok()?,
            target: name(words[3])?,
        },
        "CNAME" => Data::Cname(name(text)?),
        "TLSA" => Data::Tlsa(text.to_owned()),
        "CAA" => Data::Caa {
            critical: words[0] == "128",
            tag: words[1].to_owned(),
            value: text.splitn(3, ' ').nth(2)?.trim_matches('"').to_owned(),
        },
        "PTR" => Data::Ptr(name(text)?),
        _ => return None,
    })
}

/// What the checks find once every question that they ask is answered.
fn examine(mut facts: Facts, zone: &Zone) -> Vec<Finding> {
    for _ in 0..20 {
        let findings = checks::all(&facts);
        let missing = facts.dns.take_missing();
        if missing.is_empty() {
            return findings;
        }
        for question in missing {
            let said = zone.answer(&question);
            facts.dns.put(question, said);
        }
    }
    panic!("the checks ask without end");
}

fn set(table: &mut Table, line: &str) {
    let (path, value) = line.split_once(" = ").unwrap();
    let value: Table = format!("v = {value}").parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut at = table;
    let mut keys = path.split('/').peekable();
    while let Some(key) = keys.next() {
        if keys.peek().is_none() {
            at.insert(key.to_owned(), value["v"].clone());
            return;
        }
        at = at.entry(key).or_insert_with(|| Value::Table(Table::new())).as_table_mut().unwrap();
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

/// Runs a case and says what is wrong with it.
fn run(text: &str) -> Result<(), String> {
    let mut table: Table = read("good.toml").parse().unwrap();
    let mut zone = Zone::read(&read("good.zone"));
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("zone-", rest) => zone.remove(rest),
            ("zone+", rest) => zone.add(rest),
            ("zone!", rest) => zone.silence(rest),
            ("unsigned", _) => zone.unsigned = true,
            ("fact", rest) => set(&mut table, rest),
            ("find", rest) => wanted.push((rest.to_owned(), Vec::new())),
            ("type", rest) => wanted.last_mut().unwrap().1.push(rest.to_owned()),
            _ => return Err(format!("what is {line}?")),
        }
    }
    let facts: Facts = table.try_into().map_err(|error| error.to_string())?;
    let findings: BTreeMap<String, Finding> = examine(facts, &zone)
        .into_iter()
        .filter(|finding| finding.severity < Severity::Remark)
        .map(|finding| (format!("{} {}", finding.severity.word(), finding.id), finding))
        .collect();
    compare(&findings, &wanted)
}

fn compare(findings: &BTreeMap<String, Finding>, wanted: &[(String, Vec<String>)]) -> Result<(), String> {
    for (id, lines) in wanted {
        let finding = findings.get(id).ok_or_else(|| format!("not found: {id}; but {:#?}", findings.keys()))?;
        if lines.is_empty() || finding.why.is_empty() || finding.todo.is_empty() {
            return Err(format!("{id} must say why it matters and what to type: {finding:#?}"));
        }
        for line in lines {
            if !finding.paste.iter().any(|typed| typed.contains(line.as_str())) {
                return Err(format!("{id} does not say to type {line}, but {:#?}", finding.paste));
            }
        }
    }
    match findings.keys().find(|id| !wanted.iter().any(|(wanted, _)| wanted == *id)) {
        Some(id) => Err(format!("found besides: {:#?}", findings[id])),
        None => Ok(()),
    }
}

#[test]
fn every_seeded_mistake_is_found_with_what_to_type() {
    let mut names: Vec<String> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".case"));
    names.sort();
    assert!(names.len() > CASES_MIN, "{names:?}");
    let failed: Vec<String> = names.iter().filter_map(|name| Some(format!("{name}: {}", run(&read(name)).err()?))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What is good must not be complained of, and must be said.
#[test]
fn a_server_without_mistakes_is_told_so() {
    let facts: Facts = read("good.toml").parse::<Table>().unwrap().try_into().unwrap();
    let findings = examine(facts, &Zone::read(&read("good.zone")));
    assert!(findings.iter().all(|finding| finding.severity >= Severity::Remark), "{findings:#?}");
    assert!(findings.iter().filter(|finding| finding.severity == Severity::Good).count() > 15, "{findings:#?}");
}

/// Nothing that DNS says, or does not say, may stop the checks.
#[test]
fn a_silent_or_hostile_world_leads_to_remarks() {
    for silence in [Silence::Unavailable("x".into()), Silence::Unasked] {
        let mut facts: Facts = read("good.toml").parse::<Table>().unwrap().try_into().unwrap();
        for _ in 0..20 {
            checks::all(&facts);
            facts.dns.take_missing().into_iter().for_each(|question| facts.dns.put(question, Err(silence.clone())));
        }
        let findings = checks::all(&facts);
        let wrong: Vec<&str> = findings.iter().filter(|found| found.severity < Severity::Remark).map(|found| found.id.as_str()).collect();
        assert_eq!(wrong, if silence == Silence::Unasked { vec![] } else { vec!["dns-dead"] }, "{findings:#?}");
        assert!(!findings.iter().any(|found| found.severity == Severity::Good && found.area == Area::Programs), "{findings:#?}");
    }
    for text in ["", ";", "v=spf1 include:example.org include:example.org", "v=spf1 ip4:1/99 a:/// mx//", "v=spf1 redirect=example.org"] {
        let mut zone = Zone::read(&read("good.zone"));
        zone.remove("example.org TXT");
        zone.records.push(("example.org".into(), Data::Txt(text.into())));
        let facts: Facts = read("good.toml").parse::<Table>().unwrap().try_into().unwrap();
        let findings = examine(facts, &zone);
        assert!(findings.iter().any(|finding| finding.id.starts_with("spf-") && finding.severity == Severity::Wrong), "{text}");
    }
}

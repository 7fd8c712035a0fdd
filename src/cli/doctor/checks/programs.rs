//! How mail programs find their settings.

use super::{Asked, Standing, put, standing, unknown};
use crate::cli::dns::records::{Purpose, Record};
use crate::cli::doctor::answers::{Kind, Silence};
use crate::cli::doctor::finding::{Area, Finding};

const AREA: Area = Area::Programs;

pub(super) fn check(asked: &Asked<'_>) -> Vec<Finding> {
    asked.facts.ours.domains.iter().flat_map(|domain| of_domain(asked, &domain.name)).collect()
}

fn of_domain(asked: &Asked<'_>, domain: &str) -> Vec<Finding> {
    let below = |record: &&Record| record.name.strip_suffix(domain).is_some_and(|head| head.ends_with('.'));
    let is_ours = |record: &&Record| matches!(record.purpose, Purpose::Service | Purpose::Autoconfig | Purpose::Autodiscover);
    let (mut missing, mut other, mut unasked) = (Vec::new(), Vec::new(), Vec::new());
    for record in asked.records.iter().filter(is_ours).filter(below) {
        match state(asked, record) {
            Ok(Standing::There) => {}
            Err(silence) => unasked.extend(unknown(AREA, "the record for mail programs", &record.name, &silence).pop()),
            Ok(Standing::Missing) => missing.push(record),
            Ok(Standing::Other) => other.push(record),
        }
    }
    let lines = |records: &[&Record]| records.iter().map(|record| record.line()).collect::<Vec<_>>();
    let mut findings = Vec::new();
    if !other.is_empty() {
        let names: Vec<&str> = other.iter().map(|record| record.name.as_str()).collect();
        let what = format!("mail programs are led elsewhere by {}", names.join(", "));
        let why = "They set up the wrong server, or say that there is none.";
        findings
            .push(Finding::wrong(AREA, format!("programs-other {domain}"), what, why).fix("Replace these records with:", lines(&other)));
    }
    if !missing.is_empty() {
        let what = format!("mail programs do not find all settings of {domain} by themselves");
        let why = "People have to type host names and ports.";
        findings.push(Finding::better(AREA, format!("programs-missing {domain}"), what, why).fix(put(domain), lines(&missing)));
    }
    // One is like the other, and most likely of one cause.
    unasked.truncate(1);
    findings.extend(unasked);
    if findings.is_empty() {
        findings.push(Finding::good(AREA, format!("mail programs find the settings of {domain} in DNS")));
    }
    findings
}

fn state(asked: &Asked<'_>, record: &Record) -> Result<Standing, Silence> {
    if record.purpose == Purpose::Service {
        return standing(asked.facts, record, Kind::Srv);
    }
    // An alias or addresses: what counts is that the name leads here.
    match asked.facts.dns.addresses(&record.name) {
        Ok(ips) if ips.iter().any(|ip| asked.facts.addresses().contains(ip)) => Ok(Standing::There),
        Ok(_) => Ok(Standing::Other),
        Err(Silence::Nothing) => Ok(Standing::Missing),
        Err(silence) => Err(silence),
    }
}

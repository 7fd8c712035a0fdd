//! The test suite of RFC 7208, all of it: each scenario is a zone and what checks against it must say.

use super::{Outcome, Request, check};
use crate::trust::verify::script::{Entry, Script};
use serde_json::Value;
use std::path::Path;

/// Of the suite's explanations: the domain has none, so the receiver says what it likes.
const OWN_WORDS: &str = "DEFAULT";

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The suite writes octets as characters of ISO 8859-1.
fn octets(value: &Value) -> Vec<u8> {
    strings(value).concat().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn entry(kind: &str, value: &Value) -> Entry {
    let text = || value.as_str().unwrap().to_owned();
    match kind {
        "TXT" => Entry::Txt(octets(value)),
        "A" | "AAAA" => Entry::Address(text().parse().unwrap()),
        "MX" => Entry::Exchanger(value[0].as_u64().unwrap() as u16, value[1].as_str().unwrap().to_owned()),
        "PTR" => Entry::Pointer(text()),
        "CNAME" => Entry::Alias(text()),
        other => panic!("the suite has a kind of record that nobody knew: {other}"),
    }
}

/// The suite's records of type SPF stand for TXT where a name has no TXT of its own; NONE says that it has none.
fn zone(scenario: &Value) -> Script {
    let mut script = Script::default();
    for (name, records) in scenario["zonedata"].as_object().unwrap() {
        script.add_name(name);
        let records = records.as_array().unwrap();
        let has_txt = records.iter().any(|record| record.get("TXT").is_some());
        for record in records {
            let Some(fields) = record.as_object() else {
                assert_eq!(record, "TIMEOUT");
                script.add(name, Entry::Silence);
                continue;
            };
            for (kind, value) in fields {
                match kind.as_str() {
                    _ if value == "NONE" => {}
                    "SPF" if has_txt => {}
                    "SPF" => script.add(name, entry("TXT", value)),
                    kind => script.add(name, entry(kind, value)),
                }
            }
        }
    }
    script
}

#[tokio::test]
async fn every_scenario_of_the_suite_has_a_result_that_it_allows() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("rfc-fixtures/openspf/rfc7208.json");
    let scenarios: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (mut tests, mut wrong) = (0, Vec::new());
    for scenario in scenarios.as_array().unwrap() {
        let script = zone(scenario);
        for (name, test) in scenario["tests"].as_object().unwrap() {
            tests += 1;
            let field = |name: &str| test[name].as_str().unwrap_or_default();
            let helo = field("helo");
            let sender = match field("mailfrom") {
                "" => format!("postmaster@{helo}"),
                sender => sender.to_owned(),
            };
            let peer = field("host").parse().unwrap();
            let answer = check(Request { peer, helo, sender: &sender, receiver: "unknown", now: 0 }, &script).await;
            let allowed = strings(&test["result"]);
            if !allowed.contains(&answer.outcome.to_string().as_str()) {
                wrong.push(format!("{name}: {} and not {allowed:?}", answer.outcome));
            }
            let expected = test["explanation"].as_str();
            let said = answer.explanation.as_deref().unwrap_or(OWN_WORDS);
            // The suite writes hexadecimal digits in upper case, the RFC in lower case.
            if answer.outcome == Outcome::Fail && expected.is_some_and(|expected| !said.eq_ignore_ascii_case(expected)) {
                wrong.push(format!("{name}: explained by {said:?} and not {expected:?}"));
            }
        }
    }
    assert_eq!(tests, 203, "the suite was not read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Findings for a person.

use super::finding::{Area, Finding, Severity};
use std::fmt::Write;

/// Everything, by area; what is good in a line each.
pub(in crate::cli) fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for area in Area::ALL {
        let here: Vec<&Finding> = findings.iter().filter(|finding| finding.area == area).collect();
        if here.is_empty() {
            continue;
        }
        _ = writeln!(out, "{}", area.heading());
        here.iter().for_each(|finding| one(&mut out, finding));
        out.push('\n');
    }
    out + &summary(findings)
}

/// One finding, with what to do about it.
pub(in crate::cli) fn one(out: &mut String, finding: &Finding) {
    // Writing to a string does not fail.
    _ = writeln!(out, "  {:<6}  {}.", finding.severity.word(), finding.what);
    if !finding.why.is_empty() {
        _ = writeln!(out, "          {}", finding.why);
    }
    if !finding.todo.is_empty() {
        _ = writeln!(out, "          {}", finding.todo);
    }
    for line in &finding.paste {
        _ = writeln!(out, "{}", format!("            {line}").trim_end());
    }
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    match (count(Severity::Wrong), count(Severity::Better)) {
        (0, 0) => "All is good.".to_owned(),
        (0, better) => format!("Nothing is wrong; {better} could be better."),
        (wrong, better) => format!("{wrong} wrong, {better} could be better."),
    }
}

//! What the server offers over IMAP is what `docs/imap.md` says of it: no more, no less, before TLS, before login and after.

use crate::daemon::Home;
use crate::imap::Imap;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../docs/imap.md");

/// The capabilities of the table, with when they are offered.
fn documented() -> Vec<(&'static str, &'static str)> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    };
    DOCUMENT.lines().filter_map(row).collect()
}

/// Those of the table that are offered at one of these times.
fn expected(times: &[&str]) -> BTreeSet<String> {
    documented().into_iter().filter(|(_, when)| times.contains(when)).map(|(name, _)| name.to_owned()).collect()
}

/// Without the number of a limit.
fn offered(imap: &mut Imap) -> BTreeSet<String> {
    let lines = imap.ok("CAPABILITY").unwrap().lines();
    let names = lines[0].strip_prefix("CAPABILITY ").unwrap().split(' ');
    let named: Vec<String> = names.map(|name| name.split_once("APPENDLIMIT=").map_or(name, |_| "APPENDLIMIT").to_owned()).collect();
    let set: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(set.len(), named.len(), "nothing is offered twice: {named:?}");
    set
}

#[test]
fn the_server_offers_what_the_document_says() {
    let names: BTreeSet<&str> = documented().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), documented().len(), "each has one row");
    let times: BTreeSet<&str> = documented().into_iter().map(|(_, when)| when).collect();
    assert_eq!(times, BTreeSet::from(["after login", "always", "before TLS", "before login", "under TLS"]));
    let mut home = Home::new();
    let daemon = home.start();
    let mut plain = Imap::plain(daemon.ready.ports.imap).unwrap();
    assert_eq!(offered(&mut plain), expected(&["always", "before TLS", "before login"]), "without TLS");
    let mut imap = Imap::tls(daemon.ready.ports.imaps, &daemon.tls).unwrap();
    assert_eq!(offered(&mut imap), expected(&["always", "before login", "under TLS"]), "before the login");
    imap.login(daemon.account("plato")).unwrap();
    assert_eq!(offered(&mut imap), expected(&["always", "after login"]), "after the login");
    daemon.stop();
}

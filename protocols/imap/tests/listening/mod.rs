//! A client that believes what it is told, and nothing else, knows its mailbox.
//!
//! Commands of one session and acts of others come in any order; whatever the session tells, the client's list of
//! messages and flags must in the end be the door's.

use crate::Talk;
use proptest::prelude::*;
use stoa_mailbox::SystemFlag;

/// What happens: a command of the client, or an act of others, of which the session may hear at once or later.
#[derive(Debug, Clone)]
enum Happening {
    Command(String),
    Act(String, bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let flag = || prop::sample::select(vec!["\\Flagged", "\\Answered", "$Work", "$Junk"]);
    let set = || prop::sample::select(vec!["1", "2:*", "1:*", "*"]);
    let store = (set(), flag(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(set, flag, by_uid, add, silent)| {
        // By UID the client names what it can count out: everything, or the last.
        let by_uid = by_uid && matches!(set, "1:*" | "*");
        let (uid, sign, silent) = (if by_uid { "UID " } else { "" }, if add { '+' } else { '-' }, if silent { ".SILENT" } else { "" });
        Happening::Command(format!("{uid}STORE {set} {sign}FLAGS{silent} ({flag})"))
    });
    let others = prop::sample::select(vec![
        "NOOP",
        "CHECK",
        "FETCH 1:* FLAGS",
        "UID FETCH 1:* FLAGS",
        "SEARCH ALL",
        "STORE 1 +FLAGS (\\Deleted)",
        "EXPUNGE",
        "UID MOVE 3 Drafts",
        "COPY 1 INBOX",
        "IDLE\r\nDONE",
    ]);
    let act = prop_oneof![
        Just("deliver INBOX $Work".to_owned()),
        (1..12u32).prop_map(|uid| format!("expunge INBOX {uid}")),
        (1..12u32, flag(), any::<bool>()).prop_map(|(uid, flag, add)| format!("flag INBOX {uid} {}{flag}", if add { '+' } else { '-' })),
    ];
    prop_oneof![
        2 => store,
        3 => others.prop_map(|command| Happening::Command(command.to_owned())),
        4 => (act, any::<bool>()).prop_map(|(act, heard)| Happening::Act(act, heard)),
    ]
}

/// Sorted names without `\Recent`.
type Names = Vec<String>;

fn names(list: &str) -> Names {
    let mut names: Names = list.split(' ').filter(|name| !name.is_empty() && *name != "\\Recent").map(str::to_owned).collect();
    names.sort();
    names
}

/// What the client knows: for each message its flags, if it was told of them.
#[derive(Default)]
struct Client {
    messages: Vec<Option<Names>>,
}

impl Client {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["S:", "*", n, "EXISTS"] => self.messages.resize(n.parse::<usize>().unwrap(), None),
            ["S:", "*", n, "EXPUNGE"] => drop(self.messages.remove(n.parse::<usize>().unwrap() - 1)),
            ["S:", "*", n, "FETCH", ..] if line.contains("FLAGS (") => {
                let list = line.split_once("FLAGS (").unwrap().1.trim_end_matches(')');
                self.messages[n.parse::<usize>().unwrap() - 1] = Some(names(list));
            }
            _ => {}
        }
    }

    /// A silent STORE is not answered: the client knows what comes of it.
    fn store_silently(&mut self, command: &str) {
        let words: Vec<&str> = command.trim_start_matches("UID ").split(' ').collect();
        let ["STORE", set, how, flag] = words[..] else { return };
        let (flag, last) = (flag.trim_matches(['(', ')']).to_owned(), self.messages.len());
        let named = match set {
            "1:*" => 1..=last,
            "2:*" if last == 1 => 1..=1,
            "2:*" => 2..=last,
            "*" => last..=last,
            _ => 1..=1,
        };
        for place in named {
            if let Some(Some(known)) = place.checked_sub(1).and_then(|place| self.messages.get_mut(place)) {
                known.retain(|name| *name != flag);
                if how.starts_with('+') {
                    known.push(flag.clone());
                    known.sort();
                }
            }
        }
    }
}

fn say(talk: &mut Talk, client: &mut Client, command: &str) {
    talk.bytes(format!("t {command}\r\n").as_bytes(), usize::MAX);
    let lines: Vec<String> = talk.output.drain(..).collect();
    if command.contains(".SILENT") && lines.iter().any(|line| line.starts_with("S: t OK")) {
        client.store_silently(command);
    }
    lines.iter().for_each(|line| client.hear(line));
    if !command.starts_with("UID") && ["FETCH", "STORE", "SEARCH"].iter().any(|name| command.starts_with(name)) {
        assert!(!lines.iter().any(|line| line.ends_with(" EXPUNGE")), "{command}: {lines:?}");
    }
}

proptest! {
    #[test]
    fn a_client_that_listens_knows_its_mailbox(happenings in prop::collection::vec(happening(), 0..40)) {
        let (mut talk, mut client) = (Talk::logged_in(), Client::default());
        (0..4).for_each(|_| talk.door.act("deliver INBOX \\Seen"));
        say(&mut talk, &mut client, "SELECT INBOX");
        client.messages.iter_mut().for_each(|flags| *flags = Some(names("\\Seen")));
        for happening in happenings {
            match happening {
                Happening::Command(command) => say(&mut talk, &mut client, &command),
                Happening::Act(act, heard) => {
                    talk.door.act(&act);
                    if heard {
                        crate::event(&mut talk, "changed");
                    }
                    prop_assert!(talk.output.is_empty());
                }
            }
        }
        say(&mut talk, &mut client, "NOOP");
        let view = talk.door.newest().unwrap();
        prop_assert_eq!(client.messages.len(), view.len());
        for (known, entry) in client.messages.iter().zip(view.iter()) {
            let system = SystemFlag::ALL.into_iter().filter(|flag| entry.flags.has(*flag)).map(|flag| flag.name().to_owned());
            let mut flags: Names = system.chain(entry.flags.keywords().map(|place| view.keywords[place].clone())).collect();
            flags.sort();
            prop_assert!(known.as_ref().is_none_or(|known| *known == flags), "{:?} is {:?}", known, flags);
        }
    }
}

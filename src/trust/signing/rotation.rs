//! When keys come and go: a pure decision over what there is, what DNS shows and what time it is.
//!
//! A new key of each algorithm is prepared when an active one is old; it becomes active when DNS has shown it for a
//! while; the one before stays published for a week. A person is asked to publish what DNS does not show.

use super::selector::{ALGORITHMS, Selector, State};
use std::collections::BTreeMap;
use stoa_dkim::Algorithm;

/// DNS servers of a zone come to agree, and what they said before is forgotten, within so long (RFC 2308 §5: hours at most,
/// most say one).
pub const SHOWN_SECONDS: i64 = 3_600;

/// Mail is under way for five days at most (RFC 5321 §4.5.4.1), and is checked when it arrives.
pub const RETIRED_SECONDS: i64 = 7 * DAY_SECONDS;

/// How often a person is asked the same.
pub const ASK_AGAIN_SECONDS: i64 = 7 * DAY_SECONDS;

/// A day.
pub const DAY_SECONDS: i64 = 86_400;

/// What DNS says of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Our record.
    Right,
    /// Another one.
    Wrong,
    /// None.
    Missing,
    /// It could not be asked.
    Unknown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new key.
    Make(Algorithm, State),
    /// DNS began to show it.
    NoteShown(String),
    /// It shows it no more.
    NoteGone(String),
    /// It signs from now on, and the one before is retired.
    Activate(String),
    /// It is not needed any more.
    Remove(String),
    /// A person has to publish these.
    Ask(Vec<String>),
}

/// What to do with the keys of a domain. `shown` has what DNS says of prepared selectors; `rotate_seconds` is how long
/// a key signs, `None` for ever.
pub fn decide(selectors: &[Selector], shown: &BTreeMap<String, Shown>, now: i64, rotate_seconds: Option<i64>) -> Vec<Step> {
    let mut steps = Vec::new();
    let says = |selector: &Selector| shown.get(&selector.name).unwrap_or(&Shown::Unknown);
    let age = |since: i64| now.saturating_sub(since);
    let has = |algorithm, state| selectors.iter().any(|selector| selector.algorithm == algorithm && selector.state == state);
    let prepared = || selectors.iter().filter(|selector| selector.state == State::Prepared);
    for selector in prepared() {
        match (says(selector), selector.shown) {
            (Shown::Right, None) => steps.push(Step::NoteShown(selector.name.clone())),
            (Shown::Right, Some(since)) if age(since) >= SHOWN_SECONDS => steps.push(Step::Activate(selector.name.clone())),
            (Shown::Wrong | Shown::Missing, Some(_)) => steps.push(Step::NoteGone(selector.name.clone())),
            _ => {}
        }
    }
    let is_old = |selector: &Selector| selector.state == State::Active && rotate_seconds.is_some_and(|life| age(selector.since) >= life);
    // All algorithms at once, so that a person is asked once.
    let any_is_old = selectors.iter().any(is_old) && prepared().next().is_none();
    for algorithm in ALGORITHMS {
        if !has(algorithm, State::Active) && !has(algorithm, State::Prepared) {
            steps.push(Step::Make(algorithm, State::Active));
        } else if any_is_old {
            steps.push(Step::Make(algorithm, State::Prepared));
        }
    }
    let is_over = |selector: &&Selector| selector.state == State::Retired && age(selector.since) >= RETIRED_SECONDS;
    steps.extend(selectors.iter().filter(is_over).map(|selector| Step::Remove(selector.name.clone())));
    let unpublished: Vec<&Selector> = prepared().filter(|selector| matches!(says(selector), Shown::Wrong | Shown::Missing)).collect();
    if unpublished.iter().any(|selector| selector.asked.is_none_or(|asked| age(asked) >= ASK_AGAIN_SECONDS)) {
        steps.push(Step::Ask(unpublished.into_iter().map(|selector| selector.name.clone()).collect()));
    }
    steps
}

/// Does what needs no new key and no person.
pub fn note(selectors: &mut Vec<Selector>, step: &Step, now: i64) {
    let mut find = |name: &str, change: &mut dyn FnMut(&mut Selector)| {
        selectors.iter_mut().filter(|selector| selector.name == name).for_each(change);
    };
    match step {
        Step::NoteShown(name) => find(name, &mut |selector| selector.shown = Some(now)),
        Step::NoteGone(name) => find(name, &mut |selector| selector.shown = None),
        Step::Activate(name) => activate(selectors, name, now),
        Step::Remove(name) => selectors.retain(|selector| selector.name != *name),
        Step::Ask(names) => names.iter().for_each(|name| find(name, &mut |selector| selector.asked = Some(now))),
        Step::Make(..) => {}
    }
}

/// Makes a prepared selector sign, and retires the one that did.
pub fn activate(selectors: &mut [Selector], name: &str, now: i64) {
    let Some(next) = selectors.iter().position(|selector| selector.name == name && selector.state == State::Prepared) else { return };
    let algorithm = selectors.get(next).map(|selector| selector.algorithm);
    for selector in &mut *selectors {
        if selector.state == State::Active && Some(selector.algorithm) == algorithm {
            selector.enter(State::Retired, now);
        }
    }
    if let Some(next) = selectors.get_mut(next) {
        next.enter(State::Active, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const LIFE: i64 = 180 * DAY_SECONDS;

    fn selector(name: &str, state: State, age: i64) -> Selector {
        let algorithm = if name.starts_with('r') { Algorithm::Rsa } else { Algorithm::Ed25519 };
        Selector::new(name.to_owned(), algorithm, state, NOW - age)
    }

    fn both(age: i64) -> Vec<Selector> {
        vec![selector("r1", State::Active, age), selector("e1", State::Active, age)]
    }

    #[test]
    fn what_is_to_be_done() {
        use Step::{Activate, Ask, Make, NoteGone, NoteShown, Remove};
        let prepared = |shown: Option<i64>, asked: Option<i64>| {
            let r2 = Selector { shown, asked, ..selector("r2", State::Prepared, 9 * DAY_SECONDS) };
            [both(LIFE + DAY_SECONDS), vec![r2]].concat()
        };
        let retired = |age| [both(0), vec![selector("r0", State::Retired, age)]].concat();
        let make_both = |state| vec![Make(Algorithm::Rsa, state), Make(Algorithm::Ed25519, state)];
        let (r2, ago) = (|| "r2".to_owned(), |seconds| Some(NOW - seconds));
        let table = [
            ("nothing yet", vec![], None, make_both(State::Active)),
            ("an algorithm is missing", vec![selector("r1", State::Active, 0)], None, vec![Make(Algorithm::Ed25519, State::Active)]),
            ("young keys", both(LIFE - 1), None, vec![]),
            ("old keys", both(LIFE), None, make_both(State::Prepared)),
            ("keys of the future", both(-LIFE), None, vec![]),
            ("DNS cannot be asked", prepared(None, None), Some(Shown::Unknown), vec![]),
            ("not published, not asked", prepared(None, None), Some(Shown::Missing), vec![Ask(vec![r2()])]),
            ("published wrongly", prepared(None, None), Some(Shown::Wrong), vec![Ask(vec![r2()])]),
            ("asked lately", prepared(None, ago(ASK_AGAIN_SECONDS - 1)), Some(Shown::Missing), vec![]),
            ("asked long ago", prepared(None, ago(ASK_AGAIN_SECONDS)), Some(Shown::Missing), vec![Ask(vec![r2()])]),
            ("shown now", prepared(None, ago(0)), Some(Shown::Right), vec![NoteShown(r2())]),
            ("shown for moments", prepared(ago(SHOWN_SECONDS - 1), None), Some(Shown::Right), vec![]),
            ("shown long enough", prepared(ago(SHOWN_SECONDS), None), Some(Shown::Right), vec![Activate(r2())]),
            ("shown, then gone", prepared(ago(SHOWN_SECONDS), ago(0)), Some(Shown::Missing), vec![NoteGone(r2())]),
            ("shown, now nobody knows", prepared(ago(SHOWN_SECONDS), ago(0)), Some(Shown::Unknown), vec![]),
            ("retired lately", retired(RETIRED_SECONDS - 1), None, vec![]),
            ("retired long ago", retired(RETIRED_SECONDS), None, vec![Remove("r0".to_owned())]),
        ];
        for (what, selectors, says, steps) in table {
            let shown = says.map(|says| (r2(), says)).into_iter().collect();
            assert_eq!(decide(&selectors, &shown, NOW, Some(LIFE)), steps, "{what}");
        }
        assert_eq!(decide(&both(9 * LIFE), &BTreeMap::new(), NOW, None), [], "rotation is off");
    }

    #[test]
    fn only_a_prepared_selector_becomes_active_and_only_its_kind_is_retired() {
        let mut selectors = [both(LIFE), vec![selector("r2", State::Prepared, 0), selector("r0", State::Retired, 0)]].concat();
        let states = |selectors: &[Selector]| selectors.iter().map(|selector| selector.state).collect::<Vec<_>>();
        activate(&mut selectors, "r0", NOW);
        activate(&mut selectors, "none", NOW);
        assert_eq!(states(&selectors), [State::Active, State::Active, State::Prepared, State::Retired]);
        activate(&mut selectors, "r2", NOW);
        assert_eq!(states(&selectors), [State::Retired, State::Active, State::Active, State::Retired]);
        assert_eq!((selectors[0].since, selectors[2].since), (NOW, NOW));
    }

    /// A world of one domain: its selectors, its zone, and a person who publishes what they are asked to, in their time.
    struct World {
        selectors: Vec<Selector>,
        zone: Vec<String>,
        to_publish: Vec<(i64, String)>,
        letters: usize,
        made: usize,
        switches: usize,
    }

    impl World {
        fn hour(&mut self, now: i64, person_takes: i64) {
            self.to_publish.retain(|(when, name)| {
                let later = *when > now;
                if !later {
                    self.zone.push(name.clone());
                }
                later
            });
            let says = |selector: &Selector| if self.zone.contains(&selector.name) { Shown::Right } else { Shown::Missing };
            let shown = self.selectors.iter().map(|selector| (selector.name.clone(), says(selector))).collect();
            for step in decide(&self.selectors, &shown, now, Some(LIFE)) {
                match &step {
                    Step::Make(algorithm, state) => {
                        self.made += 1;
                        let name = format!("{algorithm:?}{}", self.made);
                        self.selectors.push(Selector::new(name, *algorithm, *state, now));
                    }
                    Step::Ask(names) => {
                        self.letters += 1;
                        self.to_publish.extend(names.iter().map(|name| (now + person_takes, name.clone())));
                    }
                    Step::Activate(_) => self.switches += 1,
                    _ => {}
                }
                note(&mut self.selectors, &step, now);
            }
        }

        /// The names that sign.
        fn signing(&self) -> Vec<String> {
            self.selectors.iter().filter(|selector| selector.state == State::Active).map(|selector| selector.name.clone()).collect()
        }
    }

    #[test]
    fn two_years_of_rotations_leave_no_message_without_its_key() {
        for (person_takes, letters_a_time) in [(2 * DAY_SECONDS, 1), (10 * DAY_SECONDS, 2)] {
            let mut world = World { selectors: both(0), zone: vec![], to_publish: vec![], letters: 0, made: 0, switches: 0 };
            world.zone = world.signing();
            let mut last_use: BTreeMap<String, i64> = BTreeMap::new();
            for hour in 0..2 * 365 * 24 {
                let now = NOW + hour * 3_600;
                world.hour(now, person_takes);
                assert_eq!(world.signing().len(), 2, "one key of each kind signs at any time");
                last_use.extend(world.signing().into_iter().map(|name| (name, now)));
                for (name, used) in last_use.iter().filter(|(_, used)| now - **used < 5 * DAY_SECONDS) {
                    let kept = world.selectors.iter().any(|selector| selector.name == *name);
                    assert!(kept && world.zone.contains(name), "{name} signed {} s ago", now - used);
                }
                assert!(world.selectors.len() <= 4, "what is not needed goes");
            }
            let rotations = 4 - usize::from(person_takes > 3 * DAY_SECONDS);
            assert_eq!((world.switches, world.letters), (2 * rotations, letters_a_time * rotations), "the person takes {person_takes} s");
        }
    }
}

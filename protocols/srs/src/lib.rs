//! The Sender Rewriting Scheme: a return address of ours for mail of others that is forwarded.
//!
//! A receiver compares the host that brings a message with the domain of its return address (SPF), so mail that is
//! forwarded needs one of ours; a report about it must still reach who wrote it. The new local part holds the old address:
//!
//! ```text
//! srs0 = "SRS0=" mac "=" day "=" domain "=" local       ; made of local@domain
//! srs1 = "SRS1=" mac "=" domain "=" rest                ; made of SRS0 rest@domain, which another forwarder made
//! mac  = 8 base32 characters of HMAC-SHA-256, of all that follows, in lower case
//! day  = 2 base32 characters, days since 1970 modulo 1024
//! ```
//!
//! Nobody but us can make one, and one is worth something for [`VALID_DAYS`]. Hosts on the way may change the case of
//! letters. Reads addresses of strangers. There is no RFC; the form is that of M. Weimer's and S. Wong's paper of 2003,
//! so that other forwarders recognise it and keep it short.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A report comes within days (RFC 5321 §4.5.4.1 lets a host try for five), also when several hosts tried one after another.
pub const VALID_DAYS: u32 = 21;

/// RFC 5321 §4.5.3.1.1.
const LOCAL_PART_OCTETS_MAX: usize = 64;

/// Forty bits: who guesses is refused at RCPT long before.
const MAC_CHARS: usize = 8;

/// Of days that two base32 characters can tell apart.
const DAYS: u32 = 1024;

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Makes return addresses, and reads those that it made.
#[derive(Clone)]
pub struct Srs {
    key: [u8; 32],
}

/// The address that a return address of ours stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Before the `@`, without quotes.
    pub local: String,
    /// After it.
    pub domain: String,
}

/// Why a local part that looks like ours stands for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// We did not make it.
    #[error("this return address was not made here")]
    Forged,
    /// See [`VALID_DAYS`].
    #[error("this return address is older than {VALID_DAYS} days")]
    Expired,
}

/// The kinds of local parts.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Zero = b'0',
    One = b'1',
}

impl Srs {
    /// With a key that nobody else has, and that stays the same.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A local part of ours for mail of this sender, whose local part comes without quotes; `day` counts since 1970.
    /// `None` if it would be too long.
    pub fn rewrite(&self, local: &str, domain: &str, day: u32) -> Option<String> {
        let (kind, signed) = match split(local) {
            // The first forwarder's address stays whole, without its own frame: its date is its affair.
            Some((Kind::Zero, rest)) => (Kind::One, format!("{domain}={rest}")),
            Some((Kind::One, rest)) => {
                let (_, inner) = rest.split_at_checked(MAC_CHARS).filter(|(_, inner)| inner.starts_with('='))?;
                (Kind::One, inner.get(1..)?.to_owned())
            }
            None => (Kind::Zero, format!("{}={domain}={local}", day_text(day))),
        };
        let rewritten = format!("SRS{}={}={signed}", char::from(kind as u8), self.mac(kind as u8, &signed));
        (rewritten.len() <= LOCAL_PART_OCTETS_MAX).then_some(rewritten)
    }

    /// Who is behind a local part of ours on this day; `None` if it is no such local part at all.
    pub fn sender(&self, local: &str, day: u32) -> Option<Result<Sender, NotOurs>> {
        let (kind, rest) = split(local)?;
        Some(self.read(kind, rest, day))
    }

    /// A word for an address that says nothing of it to others: a message that bears it came from there already.
    pub fn mark(&self, address: &str) -> String {
        self.mac(b'm', address)
    }

    fn read(&self, kind: Kind, rest: &str, day: u32) -> Result<Sender, NotOurs> {
        let (mac, signed) = rest.split_once('=').ok_or(NotOurs::Forged)?;
        let right = self.mac(kind as u8, signed);
        if !bool::from(right.as_bytes().ct_eq(mac.to_ascii_lowercase().as_bytes())) {
            return Err(NotOurs::Forged);
        }
        if kind == Kind::One {
            let (domain, inner) = signed.split_once('=').ok_or(NotOurs::Forged)?;
            return Ok(Sender { local: format!("SRS0={inner}"), domain: domain.to_owned() });
        }
        let (made, address) = signed.split_once('=').ok_or(NotOurs::Forged)?;
        let (domain, local) = address.split_once('=').ok_or(NotOurs::Forged)?;
        let made = day_number(made).ok_or(NotOurs::Forged)?;
        // Also of tomorrow, by a clock that was put back.
        let age = (day % DAYS + DAYS - made) % DAYS;
        if age > VALID_DAYS && age != DAYS - 1 {
            return Err(NotOurs::Expired);
        }
        Ok(Sender { local: local.to_owned(), domain: domain.to_owned() })
    }

    fn mac(&self, purpose: u8, signed: &str) -> String {
        let mut block = [0; 64];
        block.iter_mut().zip(self.key).for_each(|(octet, key)| *octet = key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(&[purpose]);
        mac.update(signed.to_lowercase().as_bytes());
        base32(&mac.finalize().into_bytes())
    }
}

/// Does a local part have the form of a rewritten one, of whoever?
fn split(local: &str) -> Option<(Kind, &str)> {
    let (head, rest) = local.split_at_checked("SRS0=".len())?;
    // Others write - or + in place of the first =.
    let head = head.strip_suffix(['=', '-', '+'])?;
    if head.eq_ignore_ascii_case("SRS0") {
        return Some((Kind::Zero, rest));
    }
    head.eq_ignore_ascii_case("SRS1").then_some((Kind::One, rest))
}

/// The first characters of what a MAC's first octets say.
fn base32(octets: &[u8]) -> String {
    let number = octets.iter().take(8).fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
    (0..MAC_CHARS).map(|n| character((number >> (64 - 5 * (n + 1))) as u32)).collect()
}

fn character(number: u32) -> char {
    BASE32.get(number as usize % BASE32.len()).copied().map_or('a', char::from)
}

fn day_text(day: u32) -> String {
    [day / 32, day].map(character).iter().collect()
}

fn day_number(text: &str) -> Option<u32> {
    let digits = text.bytes().map(|byte| BASE32.iter().position(|known| byte.eq_ignore_ascii_case(known)));
    let digits: Vec<u32> = digits.map(|digit| digit.and_then(|digit| u32::try_from(digit).ok())).collect::<Option<_>>()?;
    match digits.as_slice() {
        [high, low] => Some(high * 32 + low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u32 = 20_783;

    fn ours() -> Srs {
        Srs::new([7; 32])
    }

    fn sender(local: &str, domain: &str) -> Sender {
        Sender { local: local.to_owned(), domain: domain.to_owned() }
    }

    #[test]
    fn a_return_address_leads_back_for_three_weeks() {
        let local = ours().rewrite("Crito", "athens.example", DAY).unwrap();
        assert!(local.starts_with("SRS0=") && local.ends_with("=jp=athens.example=Crito"), "{local}");
        for days in [0, 1, VALID_DAYS] {
            assert_eq!(ours().sender(&local, DAY + days), Some(Ok(sender("Crito", "athens.example"))), "{days}");
        }
        assert_eq!(ours().sender(&local, DAY - 1), Some(Ok(sender("Crito", "athens.example"))), "a clock that was put back");
        for days in [VALID_DAYS + 1, 300, DAYS - 2] {
            assert_eq!(ours().sender(&local, DAY + days), Some(Err(NotOurs::Expired)), "{days}");
        }
    }

    #[test]
    fn the_case_of_letters_may_change_and_nothing_else() {
        let local = ours().rewrite("Crito.x=y", "athens.example", DAY).unwrap();
        assert_eq!(ours().sender(&local.to_lowercase(), DAY), Some(Ok(sender("crito.x=y", "athens.example"))));
        assert_eq!(ours().sender(&local.to_uppercase(), DAY), Some(Ok(sender("CRITO.X=Y", "ATHENS.EXAMPLE"))));
        for changed in [
            local.replace("Crito", "critias"),
            local.replace("=jp=", "=jq="),
            local.replace("athens", "sparta"),
            "SRS0=".into(),
            "srs1=x".into(),
        ] {
            assert_eq!(ours().sender(&changed, DAY), Some(Err(NotOurs::Forged)), "{changed}");
        }
        assert_eq!(Srs::new([8; 32]).sender(&local, DAY), Some(Err(NotOurs::Forged)));
        for other in ["crito", "srs0", "srs0crito", "SRS2=a=b=c=d", ""] {
            assert_eq!(ours().sender(other, DAY), None, "{other}");
        }
    }

    #[test]
    fn what_others_forwarded_leads_back_to_the_first_of_them() {
        let second = ours().rewrite("SRS0=hash=tt=athens.example=crito", "sparta.example", DAY).unwrap();
        assert!(second.starts_with("SRS1=") && second.ends_with("=sparta.example=hash=tt=athens.example=crito"), "{second}");
        let back = sender("SRS0=hash=tt=athens.example=crito", "sparta.example");
        assert_eq!(ours().sender(&second, DAY + 500), Some(Ok(back.clone())), "the first forwarder looks at its own date");
        // A third forwarder puts its MAC in place of the second's; all lead to the first.
        let third = Srs::new([9; 32]).rewrite(&second, "example.org", DAY).unwrap();
        assert_eq!(third.len(), second.len());
        assert_eq!(Srs::new([9; 32]).sender(&third, DAY), Some(Ok(back)));
        assert_eq!(ours().sender(&second.replace("SRS1", "SRS0"), DAY), Some(Err(NotOurs::Forged)), "kinds are told apart");
    }

    #[test]
    fn what_would_be_too_long_is_not_made() {
        let room = LOCAL_PART_OCTETS_MAX - "SRS0=12345678=tt=athens.example=".len();
        assert_eq!(ours().rewrite(&"x".repeat(room), "athens.example", DAY).unwrap().len(), LOCAL_PART_OCTETS_MAX);
        assert_eq!(ours().rewrite(&"x".repeat(room + 1), "athens.example", DAY), None);
        assert_eq!(ours().rewrite("SRS1=x", "athens.example", DAY), None);
    }

    #[test]
    fn a_mark_is_the_same_for_an_address_and_no_return_address() {
        assert_eq!(ours().mark("Plato@stoa.example"), ours().mark("plato@stoa.example"));
        assert_ne!(ours().mark("plato@stoa.example"), ours().mark("socrates@stoa.example"));
        let mark = ours().mark("jp=athens.example=crito");
        assert_eq!(ours().sender(&format!("SRS0={mark}=jp=athens.example=crito"), DAY), Some(Err(NotOurs::Forged)));
    }

    proptest! {
        #[test]
        fn any_address_that_fits_leads_back(local in "[!-~é]{1,20}", domain in "[a-z0-9.-]{1,20}", day in 0_u32..100_000, days in 0..=VALID_DAYS) {
            prop_assume!(split(&local).is_none());
            if let Some(rewritten) = ours().rewrite(&local, &domain, day) {
                prop_assert!(rewritten.len() <= LOCAL_PART_OCTETS_MAX);
                prop_assert_eq!(ours().sender(&rewritten, day + days), Some(Ok(sender(&local, &domain))));
            }
        }

        #[test]
        fn nothing_that_is_read_is_anything_but_refused(text in "(?i)srs[012][=+-][ -~é]{0,40}", day in any::<u32>()) {
            prop_assert!(ours().sender(&text, day % 1_000_000).is_none_or(|read| read.is_err()));
            _ = ours().rewrite(&text, "example.org", day % 1_000_000);
        }
    }
}

//! The world around the server, scripted, for tests: nothing in it leaves 127.0.0.0/8.
//!
//! [`Dns`] answers for zones that a test writes down, signed from a made-up root or not, with faults on request.
//! [`Peer`] is the other end of an SMTP client and follows a script. [`Authority`] makes certificates, good and
//! bad ones; [`Acme`] is an authority that one asks for them. [`Network`] finds loopback addresses with one free port, so that tests that run at once never meet.
//!
//! Each of them serves until its value is dropped, and what it takes from a peer is bounded. A test that asks for
//! what cannot be (a zone that is no zone, an address that is taken) is told so by a panic with a sentence.

mod acme;
mod addresses;
mod ca;
mod dns;
mod peer;

pub use acme::{Acme, AcmeFault};
pub use addresses::Network;
pub use ca::{Authority, Certificate};
pub use dns::{Asked, Dns, Fault, Flaw, Zone};
pub use peer::{Act, Heard, Peer, Received, Script, Stage};

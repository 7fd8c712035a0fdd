//! The whole server, tested from outside: the daemon runs as its users run it, and clients talk to its ports.
//!
//! Every test starts a demo of its own on free ports of 127.0.0.1, in a folder of its own, so that any number of
//! tests can run at once; `world` starts whole servers in a DNS of their own. Knows the binary, its ready file and the
//! wire; nothing of the code inside.

mod bench;
mod certificates;
mod check_message;
mod crash;
mod daemon;
mod dialogs;
mod doctor;
mod drill;
mod hostile;
mod http;
mod imap;
mod offers;
mod programs;
mod roundtrip;
mod smtp;
mod strace;
mod synced;
mod wire;
mod world;

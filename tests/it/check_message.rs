//! `stoa check-message`, with DNS from a script and signatures that others made.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use stoa_world::{Dns, Fault, Zone};

/// What it prints, of this sender and message; the exit code must be 0.
async fn checked(dns: &Dns, mail_from: &str, message: Option<&[u8]>) -> String {
    let arguments = ["--ip", "127.0.0.7", "--helo", "mx.example.com", "--mail-from", mail_from, "--dns", &dns.address().to_string()];
    let output = run(&arguments, message.unwrap_or_default()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The command on a thread of its own, so that DNS goes on answering.
async fn run(arguments: &[&str], input: &[u8]) -> Output {
    let (arguments, input): (Vec<String>, _) = (arguments.iter().map(|argument| (*argument).to_owned()).collect(), input.to_vec());
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
        command.arg("check-message").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that is wrong ends without reading.
        _ = child.stdin.take().unwrap().write_all(&input);
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("rfc-fixtures").join(path)).unwrap()
}

/// The keys of dkimpy's test data, each string as long as DNS allows.
fn zone(more: &str) -> Zone {
    let keys = String::from_utf8(fixture("dkimpy/keys.tsv")).unwrap();
    let (name, key) = keys.lines().next().unwrap().split_once('\t').unwrap();
    let (one, two) = key.split_at(200);
    Zone::unsigned("example.com", &format!("{} IN TXT \"{one}\" \"{two}\"\n{more}", name.strip_suffix(".example.com").unwrap()))
}

#[tokio::test]
async fn each_result_is_a_line() {
    let more =
        "@ IN TXT \"v=spf1 ip4:127.0.0.7 -all\"\nmx IN TXT \"v=spf1 a -all\"\nmx IN A 127.0.0.7\n_dmarc IN TXT \"v=DMARC1; p=reject\"";
    let dns = Dns::serve(&[zone(more)]).await;
    let signed = fixture("dkimpy/rsa-relaxed-relaxed.msg");
    let said = checked(&dns, "alice@example.com", Some(&signed)).await;
    for line in [
        "spf=pass smtp.mailfrom=alice@example.com",
        "spf=pass smtp.helo=mx.example.com",
        "dkim=pass header.d=example.com header.s=test header.a=rsa-sha256",
        "dmarc=pass header.from=example.com policy.dmarc=reject",
        "arc=none",
        "trust=2 test@example.com",
    ] {
        assert!(said.lines().any(|said| said == line), "no {line} in {said}");
    }
    assert!(said.starts_with("iprev="), "{said}");
    // A file of this system has other line ends.
    let plain: Vec<u8> = signed.iter().copied().filter(|byte| *byte != b'\r').collect();
    assert_eq!(checked(&dns, "alice@example.com", Some(&plain)).await, said);
    let without = checked(&dns, "<>", None).await;
    assert_eq!(without.lines().count(), 3, "{without}");
    assert!(without.contains("spf=pass smtp.mailfrom=\"<>\""), "{without}");
}

#[tokio::test]
async fn names_that_cannot_be_looked_up_prove_nothing() {
    let dns = Dns::serve(&[zone("@ IN TXT \"v=spf1 ip4:127.0.0.7 -all\"")]).await;
    dns.fail("test._domainkey.example.com", Fault::ServFail);
    dns.fail_type("example.com", "TXT", Fault::ServFail);
    let said = checked(&dns, "alice@example.com", Some(&fixture("dkimpy/rsa-relaxed-relaxed.msg"))).await;
    for line in ["spf=temperror smtp.mailfrom=alice@example.com", "trust=0"] {
        assert!(said.lines().any(|said| said == line), "no {line} in {said}");
    }
    assert!(said.contains("dkim=temperror (the key cannot be fetched now) header.d=example.com"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_the_command_is_said() {
    for (arguments, sentence) in [
        ("--ip mx --helo a.b --mail-from a@b", "--ip"),
        ("--ip 127.0.0.7 --helo a.b --mail-from alice", "this is not an address"),
        ("--ip 127.0.0.7 --helo a.b --mail-from a@b --dns 127.0.0.1:none", "name an address and a port"),
    ] {
        let output = run(&arguments.split(' ').collect::<Vec<_>>(), b"").await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(sentence), "{arguments}: {said}");
    }
}

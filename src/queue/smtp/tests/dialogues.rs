//! What is said in a conversation, and what a host can do in it.

use super::*;
use stoa_world::{Act, Stage};

async fn bring(script: Script, addresses: &[&str], change: impl FnOnce(&mut Queued), content: &[u8]) -> (Vec<String>, World) {
    let mut world = World::new().await;
    world.peer(1, script).await;
    let carrier = world.carrier();
    let mut line = carrier.line("plain.test");
    let verdicts = carrier.hand_over(&mut line, &world.parcel(addresses, change, content).await).await;
    carrier.close(line).await;
    (short(&verdicts), world)
}

async fn simply(script: Script) -> Vec<String> {
    bring(script, &["b@plain.test"], |_| {}, CONTENT).await.0
}

#[tokio::test]
async fn a_host_that_hangs_at_any_stage_costs_its_time_and_no_more() {
    let stages = [Stage::Banner, Stage::Ehlo, Stage::Mail, Stage::AnyRcpt, Stage::Data, Stage::Message];
    for stage in stages {
        for act in [Act::Silence, Act::Drop, Act::Garbage, Act::EndlessReply, Act::EndlessLine] {
            let verdicts = simply(Script::new().at(stage, act)).await;
            assert!(verdicts[0].starts_with("?4.4."), "{stage:?} {act:?}: {verdicts:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_one_at_every_stage() {
    for stage in [Stage::Banner, Stage::Mail, Stage::AnyRcpt, Stage::Data, Stage::Message] {
        let verdicts = simply(Script::new().at(stage, Act::Reply("550 5.7.1 no"))).await;
        assert_eq!(verdicts, ["-5.7.1"], "{stage:?}");
        let verdicts = simply(Script::new().without("PIPELINING").at(stage, Act::Reply("550 5.7.1 no"))).await;
        assert_eq!(verdicts, ["-5.7.1"], "{stage:?} one by one");
        let verdicts = simply(Script::new().at(stage, Act::Reply("450 4.2.0 later"))).await;
        assert_eq!(verdicts, ["?4.2.0"], "{stage:?}");
    }
}

#[tokio::test]
async fn an_old_host_is_asked_with_helo() {
    let (verdicts, world) = bring(Script::new().first(1, Stage::Ehlo, Act::Reply("500 what?")), &["b@plain.test"], |_| {}, CONTENT).await;
    assert_eq!(verdicts, ["+2.6.0"]);
    let commands = world.peers[0].heard()[0].commands.clone();
    assert_eq!(commands[1], format!("HELO {OWN_NAME}"));
    assert_eq!(commands[2], "MAIL FROM:<a@own.test>");
}

#[tokio::test]
async fn each_recipient_has_a_verdict_and_the_group_is_sent_at_once() {
    let script = || {
        Script::new()
            .at(Stage::Rcpt("no@plain.test"), Act::Reply("550 5.1.1 nobody"))
            .at(Stage::Rcpt("later@plain.test"), Act::Reply("452 4.2.2 full"))
    };
    let addresses = ["yes@plain.test", "no@plain.test", "later@plain.test", "too@plain.test"];
    for script in [script(), script().without("PIPELINING")] {
        let (verdicts, world) = bring(script, &addresses, |_| {}, CONTENT).await;
        assert_eq!(verdicts, ["+2.6.0", "-5.1.1", "?4.2.2", "+2.6.0"]);
        assert_eq!(world.peers[0].received()[0].recipients.len(), 2);
    }
    let (_, world) = bring(script(), &addresses, |_| {}, CONTENT).await;
    assert!(world.peers[0].heard()[0].groups.contains(&6), "{:?}", world.peers[0].heard()[0].groups);
}

#[tokio::test]
async fn when_all_are_refused_no_message_is_sent() {
    let script = Script::new().at(Stage::AnyRcpt, Act::Reply("550 5.1.1 nobody"));
    let (verdicts, world) = bring(script, &["b@plain.test", "c@plain.test"], |_| {}, CONTENT).await;
    assert_eq!(verdicts, ["-5.1.1", "-5.1.1"]);
    assert!(world.peers[0].received().iter().all(|message| message.body.is_empty() && message.recipients.is_empty()));
}

#[tokio::test]
async fn many_recipients_go_in_groups() {
    let addresses: Vec<String> = (0..100).map(|n| format!("b{n}@plain.test")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let (verdicts, world) = bring(Script::new(), &addresses, |_| {}, CONTENT).await;
    assert!(verdicts.len() == 100 && verdicts.iter().all(|verdict| verdict == "+2.6.0"));
    assert_eq!(world.peers[0].received()[0].recipients.len(), 100);
}

#[tokio::test]
async fn very_many_recipients_get_the_message_in_turns() {
    let addresses: Vec<String> = (0..250).map(|n| format!("b{n}@plain.test")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let (verdicts, world) = bring(Script::new(), &addresses, |_| {}, CONTENT).await;
    assert!(verdicts.len() == 250 && verdicts.iter().all(|verdict| verdict == "+2.6.0"));
    let sizes: Vec<usize> = world.peers[0].received().iter().map(|message| message.recipients.len()).collect();
    assert_eq!((sizes, world.peers[0].heard().len()), (vec![100, 100, 50], 1));
    let (verdicts, _) = bring(Script::new().at(Stage::Quit, Act::Drop).at(Stage::Message, Act::Drop), &addresses, |_| {}, CONTENT).await;
    assert!(verdicts.iter().all(|verdict| verdict == "?4.4.2"), "{verdicts:?}");
}

#[tokio::test]
async fn too_many_at_once_is_not_for_good() {
    let script = || Script::new().at(Stage::Rcpt("c@plain.test"), Act::Reply("552 too many recipients"));
    assert_eq!(bring(script(), &["b@plain.test", "c@plain.test"], |_| {}, CONTENT).await.0, ["+2.6.0", "?4.0.0"]);
    assert_eq!(bring(script(), &["c@plain.test"], |_| {}, CONTENT).await.0, ["-5.0.0"]);
}

#[tokio::test]
async fn a_large_message_arrives_as_it_is() {
    let content = [b"Subject: x\r\n\r\n".to_vec(), b"..dots and more\r\n".repeat(40_000)].concat();
    let (verdicts, world) = bring(Script::new(), &["b@plain.test"], |_| {}, &content).await;
    assert_eq!(verdicts, ["+2.6.0"]);
    assert!(world.peers[0].received()[0].body == content);
}

#[tokio::test]
async fn a_binary_message_goes_in_chunks_or_not_at_all() {
    let content = [b"Subject: x\r\n\r\n".to_vec(), vec![0, b'\n', 200, b'\r'], vec![b'x'; 300_000]].concat();
    let script = || Script::new().offering("CHUNKING").offering("BINARYMIME");
    let (verdicts, world) = bring(script(), &["b@plain.test"], |message| message.content = 2, &content).await;
    assert_eq!(verdicts, ["+2.6.0"]);
    assert!(world.peers[0].received()[0].body == content);
    let (verdicts, world) = bring(Script::new(), &["b@plain.test"], |message| message.content = 2, &content).await;
    assert_eq!(verdicts, ["-5.6.3"]);
    assert!(world.peers[0].received().is_empty());
}

#[tokio::test]
async fn eight_bits_go_only_where_they_are_taken() {
    let content = "Subject: x\r\n\r\ncaf\u{e9}\r\n".as_bytes();
    let script = || Script::new().without("8BITMIME");
    assert_eq!(bring(script(), &["b@plain.test"], |_| {}, content).await.0, ["-5.6.3"]);
    assert_eq!(bring(script(), &["b@plain.test"], |message| message.content = 1, CONTENT).await.0, ["+2.6.0"]);
    let (verdicts, world) = bring(Script::new(), &["b@plain.test"], |_| {}, content).await;
    assert_eq!(verdicts, ["+2.6.0"]);
    assert!(world.peers[0].received()[0].sender.contains("BODY=8BITMIME"));
}

#[tokio::test]
async fn what_dsn_asks_for_is_passed_on() {
    let change = |message: &mut Queued| {
        (message.ret, message.envelope_id) = (2, Some("id1".to_owned()));
        message.recipients[0].notify = 2;
        message.recipients[0].original = Some("rfc822;c@net.test".to_owned());
    };
    let (_, world) = bring(Script::new(), &["b@plain.test"], change, CONTENT).await;
    let received = world.peers[0].received();
    assert!(received[0].sender.ends_with("RET=HDRS ENVID=id1"), "{received:?}");
    assert_eq!(received[0].recipients, ["RCPT TO:<b@plain.test> NOTIFY=SUCCESS ORCPT=rfc822;c@net.test"]);
}

#[tokio::test]
async fn a_line_keeps_its_connection_for_the_next_message() {
    let mut world = World::new().await;
    world.peer(1, Script::new().at(Stage::Rcpt("no@plain.test"), Act::Reply("550 5.1.1 nobody"))).await;
    let carrier = world.carrier();
    let mut line = carrier.line("plain.test");
    for (address, want) in [("b@plain.test", "+2.6.0"), ("no@plain.test", "-5.1.1"), ("c@plain.test", "+2.6.0")] {
        let verdicts = carrier.hand_over(&mut line, &world.parcel(&[address], |_| {}, CONTENT).await).await;
        assert_eq!(short(&verdicts), [want]);
    }
    carrier.close(line).await;
    let heard = world.peers[0].heard();
    assert_eq!(heard.len(), 1);
    assert!(heard[0].commands.contains(&"RSET".to_owned()) && heard[0].commands.last().unwrap() == "QUIT", "{:?}", heard[0].commands);
}

#[tokio::test]
async fn a_host_that_refused_one_message_at_data_gets_the_next_after_a_reset() {
    let mut world = World::new().await;
    world.peer(1, Script::new().first(1, Stage::Data, Act::Reply("451 4.4.1 the way on is closed"))).await;
    let carrier = world.carrier();
    let mut line = carrier.line("plain.test");
    // What the host says of one message is no word about the host.
    for (address, want) in [("b@plain.test", "?4.0.0"), ("c@plain.test", "+2.6.0")] {
        let verdicts = carrier.hand_over(&mut line, &world.parcel(&[address], |_| {}, CONTENT).await).await;
        assert_eq!(short(&verdicts), [want]);
    }
    carrier.close(line).await;
    let heard = world.peers[0].heard();
    assert_eq!(heard[0].commands.iter().filter(|command| *command == "RSET").count(), 1, "{:?}", heard[0].commands);
}

#[tokio::test]
async fn a_line_whose_host_went_away_begins_anew() {
    let mut world = World::new().await;
    world.peer(1, Script::new()).await;
    let carrier = world.carrier();
    let mut line = carrier.line("plain.test");
    carrier.hand_over(&mut line, &world.parcel(&["b@plain.test"], |_| {}, CONTENT).await).await;
    world.peers[0].follow(Script::new().first(1, Stage::Mail, Act::Reply("421 4.4.2 idle")));
    let verdicts = carrier.hand_over(&mut line, &world.parcel(&["c@plain.test"], |_| {}, CONTENT).await).await;
    assert_eq!((short(&verdicts), world.peers[0].heard().len()), (vec!["+2.6.0".to_owned()], 2));
}

#[tokio::test]
async fn what_a_host_says_is_safe_to_report() {
    let mut world = World::new().await;
    world.peer(1, Script::new().at(Stage::AnyRcpt, Act::Reply("550 5.1.1 a\u{7}b\u{1b}[2J"))).await;
    let verdicts = world.bring(&["b@plain.test"]).await;
    assert_eq!(said(&verdicts[0]).text, "550 5.1.1 a b [2J");
    assert_eq!(said(&verdicts[0]).host.as_deref(), Some("mx1.plain.test"));
}

//! What holds for every page and every template: hostile values come out harmless, the frame is
//! whole, and nothing points to another host.

use std::{fs, path::Path};

use stoa_webapp::{
    CONTENT_SECURITY_POLICY, DemoForm, DemoPage, ErrorPage, FrontPage, MailServer, MessageLine, Notice, STYLES, STYLES_PATH, Security,
    SetupPage,
    autoconfig::{self, MailSettings},
    autodiscover,
    profile::Profile,
    setup::{ForAddress, QrCode},
};

/// Tries to leave an element, a quoted attribute, a textarea, a title and a CDATA section.
const HOSTILE: &str = r#"</textarea></title>]]><script>alert(1)</script>" onfocus="x" ' onload='y' &amp; <b>"#;

fn servers(host: &str) -> Vec<MailServer> {
    [(993, Security::Tls), (143, Security::StartTls)].map(|(port, security)| MailServer { host: host.into(), port, security }).to_vec()
}

/// Every page with `value` in all its fields, and the badge it has to show.
fn pages(value: &str) -> Vec<(&'static str, &'static str, String)> {
    let text = || value.to_owned();
    let front = FrontPage { domain: text(), imap: servers(value), submission: servers(value), ca_note: true, demo: true };
    let line = |unread| MessageLine { from: text(), subject: text(), date: text(), preview: text(), unread };
    let demo = DemoPage {
        owner: text(),
        csrf: text(),
        notice: Some(Notice { ok: false, text: text() }),
        form: DemoForm { from: text(), to: text(), subject: text(), text: text() },
        inbox: vec![line(true), line(false)],
        outside: vec![line(false)],
    };
    let setup = |found: Option<ForAddress>, problem: Option<String>| SetupPage {
        domain: text(),
        typed: text(),
        problem,
        found,
        imap: servers(value),
        submission: servers(value),
        demo: false,
    };
    let found = ForAddress { address: text(), profile: Some(text()), qr: Some(QrCode { side: 29, path: text() }) };
    let error = ErrorPage { status: 404, title: text(), text: text() };
    vec![
        ("front", "<strong>Demo:</strong> only this computer can see this page", front.render()),
        ("demo", "<strong>Demo:</strong> only this computer can see this page", demo.render()),
        ("setup", "<strong>Public:</strong> anyone can see this page", setup(Some(found), None).render()),
        ("setup with a problem", "<strong>Public:</strong> anyone can see this page", setup(None, Some(text())).render()),
        ("error", "<strong>Public:</strong> anyone can see this page", error.render()),
    ]
}

fn settings(value: &str) -> MailSettings {
    MailSettings { domain: value.into(), display_name: value.into(), imap: servers(value), submission: servers(value) }
}

fn outlook(value: &str) -> autodiscover::Settings {
    autodiscover::Settings { login: Some(value.into()), imap: servers(value), submission: servers(value) }
}

fn profile(value: &str) -> Profile {
    let text = || value.to_owned();
    let [imap, submission] = [servers(value).remove(0), servers(value).remove(1)];
    let (address, domain, reversed, profile_uuid, account_uuid) = (text(), text(), text(), text(), text());
    Profile { address, domain, reversed, imap, submission, profile_uuid, account_uuid }
}

/// The tags of a text in order, without what stands between them.
fn tags(text: &str) -> Vec<&str> {
    text.split('<').skip(1).filter_map(|part| part.split_once('>')).map(|(tag, _)| tag).collect()
}

/// A tag without the values of its attributes.
fn shape(tag: &str) -> String {
    tag.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

#[test]
fn hostile_values_change_no_tag() {
    let mild = pages("mild");
    let hostile = pages(HOSTILE);
    for ((name, _, mild), (_, _, hostile)) in mild.iter().zip(&hostile) {
        let shapes = |html| tags(html).into_iter().map(shape).collect::<Vec<_>>();
        assert_eq!(shapes(mild), shapes(hostile), "{name}");
        assert!(!hostile.contains("<script"), "{name}");
    }
}

#[test]
fn hostile_values_change_no_element_of_the_xml() {
    assert_eq!(elements(&autoconfig::xml(&settings("mild"))), elements(&autoconfig::xml(&settings(HOSTILE))));
    assert_eq!(elements(&autodiscover::xml(&outlook("mild"))), elements(&autodiscover::xml(&outlook(HOSTILE))));
    assert_eq!(elements(&profile("mild").xml()), elements(&profile(HOSTILE).xml()));
}

#[test]
fn every_page_has_language_title_styles_and_badge() {
    for (name, badge, html) in pages("mild") {
        assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"), "{name}");
        let (_, title) = html.split_once("<title>").unwrap();
        assert!(title.contains("mild</title>") || title.starts_with("Try it"), "{name}");
        assert!(html.contains(&format!(r#"<link rel="stylesheet" href="{STYLES_PATH}">"#)), "{name}");
        assert!(html.contains(badge), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
    }
}

#[test]
fn every_page_closes_what_it_opens() {
    for (name, _, html) in pages("mild") {
        let html = html.replacen("<!DOCTYPE html>\n", "", 1);
        let void = |tag: &str| ["meta", "link", "input"].contains(&tag.split(' ').next().unwrap_or(tag));
        assert_nested(name, tags(&html).into_iter().filter(|tag| !void(tag)));
    }
}

/// The elements of an XML text, which has to be well-formed as far as our own file can go wrong:
/// nesting, quotes, and characters that must be escaped.
fn elements(text: &str) -> Vec<String> {
    let body = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("a declaration");
    let body = body.strip_prefix("<!DOCTYPE").map_or(body, |rest| rest.split_once('\n').expect("a line").1);
    for after in body.split('&').skip(1) {
        let (entity, _) = after.split_once(';').expect("an entity ends");
        let number = entity.strip_prefix('#').and_then(|digits| digits.parse::<u32>().ok());
        assert!(number.is_some() || ["lt", "gt", "amp", "quot", "apos"].contains(&entity), "&{entity};");
    }
    assert_nested("an XML file", tags(body).into_iter().filter(|tag| !tag.ends_with('/')));
    tags(body).into_iter().map(shape).collect()
}

fn assert_nested<'a>(name: &str, tags: impl Iterator<Item = &'a str>) {
    let mut open = Vec::new();
    for tag in tags {
        assert_eq!(tag.matches('"').count() % 2, 0, "{name}: {tag}");
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "{name}"),
            None => open.push(tag.split(' ').next().unwrap_or(tag)),
        }
    }
    assert!(open.is_empty(), "{name} leaves {open:?} open");
}

/// All templates and styles as they stand on disk.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for folder in ["templates", "static"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            sources.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    sources
}

#[test]
fn no_source_points_to_another_host_or_needs_what_the_policy_forbids() {
    let forbidden = ["http:", "https:", "\"//", "'//", "(//", "@import", "url(", "<script", "style=", " on", "|safe"];
    let sources = sources();
    assert!(sources.len() >= 6, "the folders moved");
    for (path, text) in &sources {
        let markup = tags(text).join("\n");
        for word in forbidden {
            // Attributes that begin with "on" matter inside tags only; the rest matters anywhere.
            let place = if word == " on" { &markup } else { text };
            assert!(!place.contains(word), "{path} has {word}");
        }
    }
}

#[test]
fn the_policy_allows_no_scripts_and_no_inline_styles() {
    assert!(CONTENT_SECURITY_POLICY.starts_with("default-src 'none';"));
    assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
    assert!(!CONTENT_SECURITY_POLICY.contains("script-src"));
}

#[test]
fn the_styles_serve_dark_print_and_keyboard() {
    for rule in ["(prefers-color-scheme: dark)", "@media print", ":focus-visible"] {
        assert!(STYLES.contains(rule), "no {rule}");
    }
    assert_eq!(STYLES.matches('{').count(), STYLES.matches('}').count());
}

/// The relative luminance of WCAG 2.2 for `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn text_has_enough_contrast_in_both_schemes() {
    let (light, dark) = STYLES.split_once("(prefers-color-scheme: dark)").unwrap();
    for scheme in [light, dark] {
        let colour = |name: &str| {
            let (_, rest) = scheme.split_once(&format!("--{name}: ")).unwrap();
            luminance(&rest[..7])
        };
        let contrast = |a: &str, b: &str| {
            let (a, b) = (colour(a), colour(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for text in ["ink", "quiet", "link", "ok", "failed"] {
            assert!(contrast(text, "paper") >= 4.5, "{text} on paper: {}", contrast(text, "paper"));
            assert!(contrast(text, "raised") >= 4.5, "{text} on raised: {}", contrast(text, "raised"));
        }
        for ground in ["public", "machine", "link"] {
            assert!(contrast("on-colour", ground) >= 4.5, "on {ground}: {}", contrast("on-colour", ground));
        }
        assert!(contrast("edge", "raised") >= 3.0, "field edges: {}", contrast("edge", "raised"));
    }
}

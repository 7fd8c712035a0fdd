//! What the owner of a server reads: the configuration and the documents.

use super::source::{line, without_comments, words};
use super::tree::File;
use super::{Finding, demand, tree};

const DEFAULTS: &str = "conf/default.toml";
const CONFIG: &str = "src/cli/config/";

/// The keys and tables of a TOML file of plain values, with their lines.
fn keys(text: &str) -> Vec<(usize, String)> {
    let key = |row: &str| {
        let row = row.trim();
        let key = match row.strip_prefix('[') {
            Some(table) => table.strip_suffix(']')?,
            None => row.split_once('=')?.0,
        };
        Some(key.trim().to_owned()).filter(|key| !key.is_empty() && !key.starts_with('#'))
    };
    text.lines().enumerate().filter_map(|(at, row)| Some((at + 1, key(row)?))).collect()
}

fn is_document(path: &str) -> bool {
    path == "README.md" || (path.starts_with("docs/") && path.ends_with(".md"))
}

/// The files of this tree that a document links to, from the root, with their lines.
fn links(document: &File) -> Vec<(usize, String)> {
    let text = &document.text;
    let targets = text.match_indices("](").filter_map(|(at, mark)| {
        let target = text[at + mark.len()..].split([')', '#', ' ']).next()?;
        let here = !target.is_empty() && !target.contains(':');
        here.then(|| (line(text, at), resolve(&document.path, target)))
    });
    targets.collect()
}

/// A relative path as seen from a file.
fn resolve(from: &str, target: &str) -> String {
    let mut path: Vec<&str> = from.split('/').collect();
    path.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = path.pop(),
            part => path.push(part),
        }
    }
    path.join("/")
}

#[test]
fn every_configuration_key_is_read() {
    let files = tree::rust();
    let sources = files.iter().filter(|file| file.path.starts_with(CONFIG) && !file.path.ends_with("tests.rs"));
    let code: String = sources.map(|file| without_comments(&file.text)).collect();
    let keys = keys(&tree::text(DEFAULTS));
    assert!(keys.len() > 20, "{DEFAULTS} was not read");
    let unread = keys.into_iter().filter(|(_, key)| words(&code, key).next().is_none());
    let found: Vec<Finding> = unread.map(|(line, key)| Finding::new(DEFAULTS, line, key)).collect();
    demand(&format!("Read the key in {CONFIG}, or strike it out."), &found, &[]);
}

#[test]
fn every_document_can_be_found() {
    let files = tree::texts();
    let documents: Vec<&File> = files.iter().filter(|file| is_document(&file.path)).collect();
    assert!(documents.len() > 3, "the documents were not found");
    let linked = |path: &str| documents.iter().any(|from| from.path != path && links(from).iter().any(|(_, target)| target == path));
    // A picture or a table counts as a document here: it wants to be found, too.
    let lost = files.iter().filter(|file| file.path.starts_with("docs/") && !linked(&file.path));
    let found: Vec<Finding> = lost.map(|file| Finding::new(&file.path, 0, "is linked from nowhere")).collect();
    demand("Link to the document from README.md or from another document.", &found, &[]);
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut documents = tree::texts();
    documents.retain(|file| is_document(&file.path));
    let broken = documents.iter().flat_map(|file| links(file).into_iter().map(move |link| (file, link)));
    let broken = broken.filter(|(_, (_, target))| !tree::exists(target));
    let found: Vec<Finding> = broken.map(|(file, (line, target))| Finding::new(&file.path, line, format!("links to {target}"))).collect();
    demand("There is no such file: correct the link.", &found, &[]);
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn keys_and_tables_are_found() {
        let text = "# a = 1\nb = \"c = d\"\n\n[e]\nf_g = [1]\n#h\n";
        assert_eq!(keys(text), [(2, "b".to_owned()), (4, "e".to_owned()), (5, "f_g".to_owned())]);
    }

    #[test]
    fn links_are_resolved() {
        let links = |path: &str, text: &str| {
            let document = File { path: path.into(), text: text.into() };
            links(&document).into_iter().map(|(_, target)| target).collect::<Vec<_>>()
        };
        assert_eq!(links("README.md", "a [b](docs/c.md), [d](./e/f.rs#g)"), ["docs/c.md", "e/f.rs"]);
        assert_eq!(links("docs/a.md", "[b](b.md) ![c](../conf/c.png \"d\")"), ["docs/b.md", "conf/c.png"]);
        assert!(links("README.md", "[a](https://example.org/b.md) [c](#d) (e.md)").is_empty());
    }
}

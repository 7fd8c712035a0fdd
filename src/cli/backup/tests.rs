//! Backups of a small server, with everything that may go wrong on the way and back.

use super::restore::{Arguments, restore};
use super::*;
use crate::cli::config::FILE_NAME;
use crate::store::engine::rocksdb::RocksConfig;
use crate::store::{Change, NoteChange, NoteKind, Store};

/// Enough that a table gets a file of its own, which never changes.
const NOTE_BYTES: usize = 100_000;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// A server with its keys, and something that is not to be saved.
    async fn new() -> World {
        let world = World { dir: tempfile::tempdir().unwrap() };
        Home::make(&world.data()).unwrap().login_key().unwrap();
        fs::write(world.data().join(FILE_NAME), "hostname = 'mail.example.org'\ndomains = ['example.org']\n").unwrap();
        fs::create_dir_all(world.data().join("dkim/example.org")).unwrap();
        fs::write(world.data().join("dkim/example.org/key"), "private").unwrap();
        fs::set_permissions(world.data().join("dkim/example.org/key"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(world.data().join("login.77.new"), "half").unwrap();
        _ = std::os::unix::net::UnixListener::bind(world.data().join("some.socket")).unwrap();
        world.remember("first").await;
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    async fn remember(&self, key: &str) {
        let opened = engine(&self.data()).await;
        let store = Store::open(std::sync::Arc::new(opened)).await.unwrap();
        let note = NoteChange::put(NoteKind::Budget, key, vec![b'x'; NOTE_BYTES]);
        store.commit(Change::Notes(vec![note])).await.unwrap();
        drop(store);
        // Until nobody has it open any more.
        drop(engine(&self.data()).await);
    }

    async fn backup(&self, more: &str) -> anyhow::Result<()> {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            arguments: super::Arguments,
        }
        let line = format!("backup {} --dir {} {more}", self.backups().display(), self.data().display());
        run(Line::parse_from(line.split_whitespace()).arguments).await
    }

    fn generations(&self) -> Vec<PathBuf> {
        destination::generations(&self.backups()).unwrap()
    }

    fn restore(&self, name: &str, generation: Option<&str>) -> anyhow::Result<String> {
        restore(&Arguments::of(&self.backups(), &self.path(name), generation, false))
    }

    async fn remembered(&self, name: &str) -> Vec<String> {
        let store = Store::open(std::sync::Arc::new(engine(&self.path(name)).await)).await.unwrap();
        let notes = store.notes(NoteKind::Budget, b"").await.unwrap();
        notes.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }
}

/// The committer lets go of a store a moment after its last handle went.
async fn engine(dir: &Path) -> crate::store::engine::rocksdb::Rocks {
    let home = Home::make(dir).unwrap();
    loop {
        match home.open_engine(&RocksConfig::default()).await {
            Ok(engine) => return engine,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn immutable(generation: &Path) -> Vec<PathBuf> {
    let files = Manifest::read(generation).unwrap().files;
    let files = files.into_iter().map(|file| file.path).filter(|path| path.extension().is_some_and(|end| end == "sst" || end == "blob"));
    files.map(|path| generation.join(DATA).join(path)).collect()
}

#[tokio::test]
async fn a_server_comes_back_whole_with_its_keys_and_their_modes() {
    let world = World::new().await;
    world.backup("").await.unwrap();
    let said = world.restore("new", None).unwrap();
    assert!(said.contains("mail.example.org is restored in") && said.contains("UTC"), "{said}");
    for file in ["login.key", "dkim/example.org/key", FILE_NAME] {
        let (old, new) = (world.data().join(file), world.path("new").join(file));
        assert_eq!(fs::read(&old).unwrap(), fs::read(&new).unwrap(), "{file}");
        assert_eq!(fs::metadata(&old).unwrap().mode(), fs::metadata(&new).unwrap().mode(), "{file}");
    }
    for file in ["login.77.new", "some.socket"] {
        assert!(!world.path("new").join(file).exists(), "{file}");
    }
    assert_eq!(fs::metadata(world.path("new")).unwrap().mode() & 0o777, 0o700);
    assert_eq!(world.remembered("new").await, ["first"]);
    let refused = world.restore("new", None).unwrap_err().to_string();
    assert!(refused.contains("is not empty"), "{refused}");
}

#[tokio::test]
async fn a_second_backup_shares_what_did_not_change_and_each_stands_alone() {
    let world = World::new().await;
    world.backup("").await.unwrap();
    world.remember("second").await;
    world.backup("").await.unwrap();
    let all = world.generations();
    let links = |generation: &Path| immutable(generation).iter().filter(|path| fs::metadata(path).unwrap().nlink() > 1).count();
    assert!(links(&all[1]) > 0 && links(&all[1]) < immutable(&all[1]).len(), "some are shared and some are new");
    assert_eq!(check(&world.backups(), None).unwrap().0, Vec::<String>::new());
    world.backup("--full --keep 1").await.unwrap();
    let left = world.generations();
    assert_eq!(left.len(), 1);
    assert_eq!(links(&left[0]), 0);
    world.restore("new", None).unwrap();
    assert_eq!(world.remembered("new").await, ["first", "second"]);
}

#[tokio::test]
async fn an_older_generation_is_restored_by_its_name() {
    let world = World::new().await;
    world.backup("").await.unwrap();
    world.remember("second").await;
    world.backup("").await.unwrap();
    let first = world.generations()[0].file_name().unwrap().to_string_lossy().into_owned();
    // The second was perhaps made within the same second, and so has the same beginning.
    fs::rename(&world.generations()[0], world.backups().join("2001-01-01T000000Z")).unwrap();
    world.restore("old", Some("2001")).unwrap();
    assert_eq!(world.remembered("old").await, ["first"]);
    let unknown = world.restore("none", Some("1999")).unwrap_err().to_string();
    assert!(unknown.contains("no generation 1999") && unknown.contains("2001-01-01T000000Z"), "{first}: {unknown}");
}

#[tokio::test]
async fn a_file_of_a_backup_that_was_changed_is_found_and_not_restored() {
    let world = World::new().await;
    world.backup("").await.unwrap();
    let victim = immutable(&world.generations()[0]).remove(0);
    let mut bytes = fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&victim, &bytes).unwrap();
    let (wrong, said) = check(&world.backups(), None).unwrap();
    assert!(wrong.len() == 1 && wrong[0].contains("was changed") && said.starts_with("0 of 1"), "{wrong:?} {said}");
    let refused = world.restore("new", None).unwrap_err().to_string();
    assert!(refused.contains("was changed") && refused.contains("--generation"), "{refused}");
    assert!(!world.path("new").exists(), "nothing is left of it");
    restore(&Arguments::of(&world.backups(), &world.path("new"), None, true)).unwrap();
    fs::write(&victim, &bytes[..middle]).unwrap();
    assert!(check(&world.backups(), None).unwrap().0[0].contains("bytes instead of"));
    // What is damaged there is not passed on: a file of another size is copied anew.
    world.backup("").await.unwrap();
    assert!(check(&world.backups(), None).unwrap().1.starts_with("1 of 2"));
}

#[tokio::test]
async fn what_a_crash_left_goes_with_the_next_backup_and_harms_none() {
    let world = World::new().await;
    world.backup("").await.unwrap();
    for left in ["incoming", "outgoing"] {
        fs::create_dir_all(world.backups().join(left).join("data/store")).unwrap();
        fs::write(world.backups().join(left).join("data/store/1.sst"), "half").unwrap();
    }
    assert_eq!(world.generations().len(), 1, "neither is a generation");
    world.backup("").await.unwrap();
    assert!(!world.backups().join("incoming").exists() && !world.backups().join("outgoing").exists());
    assert!(check(&world.backups(), None).unwrap().1.starts_with("2 of 2"));
}

#[tokio::test]
async fn places_that_are_not_for_this_backup_are_refused_with_a_way_out() {
    let world = World::new().await;
    let refused = |path: PathBuf| {
        let arguments =
            super::Arguments { destination: path, keep: 7, full: false, place: Place { dir: Some(world.data()), config: None } };
        async { run(arguments).await.unwrap_err().to_string() }
    };
    assert!(refused(world.data().join("backups")).await.contains("lies in the data directory"));
    assert!(refused(world.path("unmounted/backups")).await.contains("is the disk mounted?"));
    fs::create_dir(world.path("photos")).unwrap();
    fs::write(world.path("photos/cat.jpg"), "cat").unwrap();
    assert!(refused(world.path("photos")).await.contains("such as cat.jpg"));
    let other = World::new().await;
    other.backup("").await.unwrap();
    assert!(refused(other.backups()).await.contains("backups of another server, mail.example.org"));
    let owner = Owner::new(&Home::make(&other.data()).unwrap().login_key().unwrap(), "mail.example.org");
    let held = Destination::open(&other.backups(), &owner).unwrap();
    assert!(other.backup("").await.unwrap_err().to_string().contains("another backup"));
    drop(held);
    other.backup("").await.unwrap();
}

#[tokio::test]
async fn a_configuration_that_named_its_directory_names_the_new_one() {
    let world = World::new().await;
    let old = format!("data_directory = '{}'\nhostname = 'mail.example.org'\ndomains = ['example.org']\n", world.data().display());
    fs::write(world.data().join(FILE_NAME), old).unwrap();
    world.backup("").await.unwrap();
    world.restore("new", None).unwrap();
    let config = Config::read(&world.path("new").join(FILE_NAME)).unwrap();
    assert_eq!(config.data_directory, world.path("new"));
}

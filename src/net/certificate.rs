//! A certificate for a server that nobody outside this machine knows: demo, tests, a first look.
//!
//! [`ensure`] keeps a small certificate authority and one certificate for `localhost`, `stoa.localhost` and
//! `127.0.0.1` in a folder. Who trusts `ca.pem` trusts it for those names alone (RFC 5280 §4.2.1.10). The
//! certificate is used again while it is valid for another month and is issued anew, by the same authority,
//! otherwise. Keys are readable by their owner only.

use crate::net::tls::provider;
use anyhow::{Context, ensure as require};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, sign::CertifiedKey};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whom the certificate speaks for.
pub const NAMES: [&str; 3] = ["localhost", "stoa.localhost", "127.0.0.1"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate's life, with a day of it in the past for clocks that are behind: browsers refuse more than 398 days.
const LIFE: Duration = DAY.saturating_mul(365);

/// With less life left than this a new certificate is issued.
const LIFE_LEFT_MIN: Duration = DAY.saturating_mul(30);

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The authority's certificate, for clients to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    ca_key: PathBuf,
}

/// Makes sure that `folder` holds an authority and a certificate that is valid for another month after `now`.
pub fn ensure(folder: &Path, now: SystemTime) -> anyhow::Result<Files> {
    let files = Files::within(folder);
    if files.check(now + LIFE_LEFT_MIN).is_ok() {
        return Ok(files);
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    // Clients trust the authority already: it is replaced only if it cannot issue.
    if files.load_ca_key().and_then(|key| files.issue(key, now)).and_then(|()| files.check(now)).is_err() {
        files.make_ca()?;
        files.issue(files.load_ca_key()?, now)?;
        files.check(now)?;
    }
    Ok(files)
}

impl Files {
    fn within(folder: &Path) -> Files {
        Files {
            ca: folder.join("ca.pem"),
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            ca_key: folder.join("ca-key.pem"),
        }
    }

    /// Would a client that trusts the authority accept our certificate at this time, for every name?
    fn check(&self, at: SystemTime) -> anyhow::Result<()> {
        let leaf = CertificateDer::from_pem_file(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        CertifiedKey::from_der(vec![leaf.clone()], key, &provider())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca)?)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH)?);
        for name in NAMES {
            verifier.verify_server_cert(&leaf, &[], &ServerName::try_from(name)?, &[], at)?;
        }
        Ok(())
    }

    fn load_ca_key(&self) -> anyhow::Result<KeyPair> {
        require!(self.ca.exists(), "{} is missing", self.ca.display());
        Ok(KeyPair::from_pem(&fs::read_to_string(&self.ca_key)?)?)
    }

    fn make_ca(&self) -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        write(&self.ca_key, &key.serialize_pem(), SECRET)?;
        write(&self.ca, &authority().self_signed(&key)?.pem(), PUBLIC)
    }

    fn issue(&self, ca_key: KeyPair, now: SystemTime) -> anyhow::Result<()> {
        let mut leaf = CertificateParams::new(NAMES.map(str::to_owned))?;
        leaf.distinguished_name.push(DnType::CommonName, NAMES[0]);
        leaf.not_before = (now - DAY).into();
        leaf.not_after = (now - DAY + LIFE).into();
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &Issuer::new(authority(), ca_key))?;
        write(&self.key, &key.serialize_pem(), SECRET)?;
        write(&self.certificate, &certificate.pem(), PUBLIC)
    }
}

/// The authority, always the same but for its key, so that the key alone is enough to issue again.
///
/// It lives long, which is harmless: it can speak for this machine only.
fn authority() -> CertificateParams {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Stoa demo authority of this machine");
    ca.not_before = date_time_ymd(2020, 1, 1);
    ca.not_after = date_time_ymd(2049, 12, 31);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // RFC 5280 §4.2.1.10: a name stands for itself and all below it.
    let permitted_subtrees =
        vec![GeneralSubtree::DnsName("localhost".to_owned()), GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 1], 32))];
    ca.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    ca
}

/// For its owner only.
pub(super) const SECRET: u32 = 0o600;
/// For everybody.
pub(super) const PUBLIC: u32 = 0o644;

/// Replaces a file as a whole, so that nobody reads half of it and a key is never readable to others.
pub(super) fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let fresh = file.with_extension("new");
    let written = (|| {
        // The mode counts only for a file that is created here.
        if fresh.exists() {
            fs::remove_file(&fresh)?;
        }
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&fresh, file)?;
        // The new name is on disk only with its folder.
        file.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    })();
    written.with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn read(file: &Path) -> String {
        fs::read_to_string(file).unwrap()
    }

    #[test]
    fn it_is_used_again_and_issued_anew_by_the_same_authority() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let files = ensure(dir.path(), now).unwrap();
        let (ca, first) = (read(&files.ca), read(&files.certificate));
        ensure(dir.path(), now + DAY * 300).unwrap();
        assert_eq!(read(&files.certificate), first);
        ensure(dir.path(), now + DAY * 340).unwrap();
        assert_ne!(read(&files.certificate), first);
        assert_eq!(read(&files.ca), ca);
    }

    #[test]
    fn it_lives_a_year_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let files = ensure(dir.path(), now).unwrap();
        files.check(now + DAY * 363).unwrap();
        assert!(files.check(now + DAY * 365).is_err());
    }

    #[test]
    fn what_is_lost_or_broken_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let files = ensure(dir.path(), now).unwrap();
        for file in [&files.key, &files.certificate, &files.ca] {
            fs::write(file, "broken").unwrap();
            ensure(dir.path(), now).unwrap().check(now).unwrap();
        }
        // Without its key the authority cannot issue, so both are new.
        let ca = read(&files.ca);
        fs::remove_file(&files.ca_key).unwrap();
        fs::remove_file(&files.key).unwrap();
        ensure(dir.path(), now).unwrap().check(now).unwrap();
        assert_ne!(read(&files.ca), ca);
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path(), SystemTime::now()).unwrap();
        for file in [&files.key, &files.ca_key] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_authority_speaks_for_this_machine_only() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let files = ensure(dir.path(), now).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&key, &Issuer::new(authority(), files.load_ca_key().unwrap())).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        let name = ServerName::try_from("example.org").unwrap();
        let refused = verifier.verify_server_cert(leaf.der(), &[], &name, &[], UnixTime::now());
        assert!(format!("{refused:?}").contains("NameConstraintViolation"), "{refused:?}");
    }
}

//! A world for programs that are tested from a shell: `world FOLDER NAME=ADDRESS...`.
//!
//! Serves each `ZONE.zone` of the folder as a signed zone, writes `authority.pem` there, for each NAME a certificate
//! `NAME.pem` with its key `NAME.key` that covers the ADDRESS too, and the root's key as `anchor`. Then it prints the
//! address of its DNS and serves until its standard input ends.

use std::io::Read;
use std::path::Path;
use std::{env, fs, io};
use stoa_world::{Authority, Dns, Zone};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or_else(|| io::Error::other("say the folder of the zones: world FOLDER NAME=ADDRESS..."))?;
    let folder = Path::new(&folder);
    let authority = Authority::new();
    fs::write(folder.join("authority.pem"), authority.pem())?;
    for argument in arguments {
        let (name, address) = argument.split_once('=').ok_or_else(|| io::Error::other(format!("{argument} is not NAME=ADDRESS")))?;
        let certificate = authority.certificate(&[name, address]);
        fs::write(folder.join(format!("{name}.pem")), certificate.chain_pem())?;
        fs::write(folder.join(format!("{name}.key")), certificate.key_pem())?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let dns = runtime.block_on(Dns::serve(&zones(folder)?));
    fs::write(folder.join("anchor"), dns.trust_anchor())?;
    println!("{}", dns.address());
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn zones(folder: &Path) -> io::Result<Vec<Zone>> {
    let mut zones = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".zone"));
        if let Some(name) = name {
            zones.push(Zone::signed(name, &fs::read_to_string(&path)?));
        }
    }
    Ok(zones)
}

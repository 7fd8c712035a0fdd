//! How other sub-commands reach a server that runs: a socket in the data directory, for the directory's owner only.
//!
//! One connection is one [`Request`] in a line of JSON and one answer in another. The socket has mode 0600 in a
//! directory of mode 0700; who may open it could change the files as well.

use super::{account, doctor, queue, reports, snapshot};
use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// A request or an answer: a list of accounts is the longest.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Hashing a password takes less than one second, also on a small machine with others before it.
const ANSWER_SECONDS: Duration = Duration::from_secs(30);
/// After an error of accepting, others must end first.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// What a running server is asked for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// A change of accounts, or their list.
    Account(account::Request),
    /// What waits for other servers, or something to be done with it.
    Queue(queue::Request),
    /// A copy of the store of this moment, in the directory of this name within the data directory.
    Snapshot { name: String },
    /// What others reported of our domains in so many days.
    Reports { days: i64 },
    /// What waits for other hosts, in numbers.
    QueueNumbers,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Done(String),
    Failed(String),
}

/// The server's end; its file goes with it.
pub(super) struct Control {
    listener: UnixListener,
    file: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.file);
    }
}

impl Control {
    /// Listens. Whoever calls this has the store open, so a socket that is left there is nobody's.
    pub(super) fn listen(file: PathBuf) -> anyhow::Result<Control> {
        let listen = || {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&file)?;
            fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = listen().with_context(|| format!("cannot listen on {}", file.display()))?;
        Ok(Control { listener, file })
    }

    /// Answers one after the other until it is dropped.
    pub(super) async fn answer(self, desk: queue::Desk, domains: Arc<[String]>) {
        let home = self.file.parent().unwrap_or(Path::new("."));
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let served = timeout(ANSWER_SECONDS, serve(stream, &desk, &domains, home)).await;
                    if let Err(error) = served.unwrap_or_else(|late| Err(late.into())) {
                        tracing::warn!("a request on the control socket was not answered: {error:#}");
                    }
                }
                Err(error) => {
                    tracing::error!("cannot accept on the control socket: {error}");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }
}

async fn serve(stream: UnixStream, desk: &queue::Desk, domains: &[String], home: &Path) -> anyhow::Result<()> {
    let mut stream = BufStream::new(stream);
    let request: Request = serde_json::from_str(&read_line(&mut stream).await?)?;
    let performed = match request {
        Request::Account(request) => account::perform(&desk.store, domains, request).await,
        Request::Snapshot { name } => snapshot::perform(&desk.store, home, &name).await,
        Request::Queue(request) => queue::perform(desk, request).await,
        Request::Reports { days } => reports::perform(&desk.store, days).await,
        Request::QueueNumbers => doctor::perform(&desk.store).await,
    };
    let answer = match performed {
        Ok(said) => Answer::Done(said),
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    write_line(&mut stream, &answer).await
}

/// Asks the server that runs here; `None` if none does.
pub(super) async fn ask(file: &Path, request: &Request) -> anyhow::Result<Option<String>> {
    let stream = match UnixStream::connect(file).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot reach the running server at {}", file.display())),
    };
    let mut stream = BufStream::new(stream);
    let asked = async {
        write_line(&mut stream, request).await?;
        anyhow::Ok(serde_json::from_str(&read_line(&mut stream).await?)?)
    };
    match timeout(ANSWER_SECONDS, asked).await.context("the running server does not answer")?? {
        Answer::Done(said) => Ok(Some(said)),
        Answer::Failed(why) => Err(anyhow!(why)),
    }
}

async fn write_line(stream: &mut BufStream<UnixStream>, value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(stream.flush().await?)
}

async fn read_line(stream: &mut BufStream<UnixStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    stream.take(LINE_BYTES_MAX).read_line(&mut line).await?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::account::Request::{List, Remove};
    use crate::store::Store;
    use crate::store::engine::memory::Memory;

    #[tokio::test]
    async fn the_running_server_makes_the_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("control.socket");
        assert!(ask(&file, &Request::Account(List)).await.unwrap().is_none());
        let store = Store::open(Arc::new(Memory::new())).await.unwrap();
        let control = Control::listen(file.clone()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let answering = tokio::spawn(control.answer(queue::Desk::quiet(store), Arc::from(["example.org".to_owned()])));
        assert_eq!(ask(&file, &Request::Account(List)).await.unwrap().unwrap(), "There are no accounts.");
        let refused = ask(&file, &Request::Account(Remove { address: "a@example.org".to_owned() })).await.unwrap_err();
        assert!(refused.to_string().contains("there is no account"));
        answering.abort();
        _ = answering.await;
        assert!(!file.exists());
        // A server that was killed leaves its file.
        drop(std::os::unix::net::UnixListener::bind(&file).unwrap());
        assert!(ask(&file, &Request::Account(List)).await.unwrap().is_none());
        Control::listen(file).unwrap();
    }
}

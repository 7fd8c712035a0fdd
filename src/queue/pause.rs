//! All outgoing mail paused: a note that outlives the process. Mail is still taken, and waits.

use crate::store::{Change, NoteChange, NoteKind, Store, StoreError};
use stoa_record::{Reader, Writer};

/// Of [`NoteKind::Budget`], whose other keys are longer.
const KEY: &[u8] = b"paused";

/// Since when, in seconds since 1970.
pub async fn paused(store: &Store) -> Result<Option<i64>, StoreError> {
    let note = store.note(NoteKind::Budget, KEY).await?;
    Ok(note.map(|note| Reader::parse(&note, 1)?.i64(1)).transpose()?.flatten())
}

/// Nothing is handed over any more.
pub async fn pause(store: &Store, now: i64) -> Result<(), StoreError> {
    let note = Writer::new(1).i64(1, now).finish();
    store.commit(Change::Notes(vec![NoteChange::put(NoteKind::Budget, KEY, note)])).await.map(drop)
}

/// What is due is handed over again.
pub async fn resume(store: &Store) -> Result<(), StoreError> {
    store.commit(Change::Notes(vec![NoteChange::remove(NoteKind::Budget, KEY)])).await.map(drop)
}

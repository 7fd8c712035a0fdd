//! What a client is told when something was not done: the store's reasons in IMAP's words (RFC 5530).

use crate::delivery::admit::NotAdmitted;
use crate::store::{self, NameProblem, StoreError};
use stoa_imap::{Refusal, RefusalCode};

/// Of a change that the store did not make.
pub(super) fn refused(error: StoreError) -> Refusal {
    let code = match &error {
        StoreError::Refused(store::Refusal::Name(problem)) => match problem {
            NameProblem::Missing => RefusalCode::NonExistent,
            NameProblem::Exists => RefusalCode::AlreadyExists,
            NameProblem::HasChildren => RefusalCode::HasChildren,
            // RFC 6154 §3 leaves it to the server whether there may be two.
            NameProblem::UseTaken => RefusalCode::UseAttr,
            NameProblem::TooMany => RefusalCode::Limit,
            NameProblem::Invalid | NameProblem::Inbox | NameProblem::BelowItself => RefusalCode::Cannot,
        },
        StoreError::Refused(store::Refusal::NoMailbox) => RefusalCode::NonExistent,
        StoreError::Refused(store::Refusal::UidsExhausted) => RefusalCode::Limit,
        StoreError::Refused(_) => RefusalCode::Cannot,
        _ => return unavailable(&error),
    };
    Refusal { code: Some(code), text: capital(&error.to_string()) }
}

/// Of a wish that was not granted.
pub(super) fn not_admitted(reason: NotAdmitted) -> Refusal {
    match reason {
        NotAdmitted::Store(error) => refused(error),
        NotAdmitted::Forbidden => Refusal { code: Some(RefusalCode::NoPerm), text: capital(&reason.to_string()) },
        NotAdmitted::OtherHolder => Refusal { code: Some(RefusalCode::Cannot), text: capital(&reason.to_string()) },
    }
}

/// Our own fault: the log gets the reason, the client only what it can do.
pub(super) fn unavailable(reason: impl std::fmt::Display) -> Refusal {
    tracing::error!(%reason, "a request failed");
    Refusal { code: Some(RefusalCode::Unavailable), text: "The server cannot do this now; try again later".into() }
}

/// Only a fault of the session's own comes here: it asks in order.
pub(super) fn not_selected() -> Refusal {
    Refusal { code: None, text: "No mailbox is selected".into() }
}

/// Of who has not signed in.
pub(super) fn not_signed_in() -> Refusal {
    Refusal { code: Some(RefusalCode::NoPerm), text: "Sign in first".into() }
}

/// RFC 3501 §6.3.11 and §6.4.7: a target that could be made is said to be so.
pub(super) fn try_create(refusal: Refusal) -> Refusal {
    match refusal.code {
        Some(RefusalCode::NonExistent) => Refusal { code: Some(RefusalCode::TryCreate), ..refusal },
        _ => refusal,
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

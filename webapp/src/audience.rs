//! Who can see a page: the badge that a reader must never mistake.

/// The space a page is in, and with it who can see the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The public space: anyone.
    Public,
    /// The demo's own pages, which are served to the loopback address only.
    ThisMachine,
}

impl Audience {
    /// The name of the space, as the badge shows it.
    pub fn space(self) -> &'static str {
        match self {
            Self::Public => "Public",
            Self::ThisMachine => "Demo",
        }
    }

    /// Who can see the page, as the sentence after the name.
    pub fn seen_by(self) -> &'static str {
        match self {
            Self::Public => "anyone can see this page",
            Self::ThisMachine => "only this computer can see this page",
        }
    }

    /// The style class that colours the badge.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::ThisMachine => "machine",
        }
    }
}

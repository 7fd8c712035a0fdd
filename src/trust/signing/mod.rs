//! Signing what goes out (DKIM): the keys of our domains, their lives, and the signatures they make.
//!
//! [`Keyring`] signs with the active keys of a domain; [`rotation`] decides when keys come and go; [`Folder`] is what
//! lies on disk: `dkim/<domain>/` holds `selectors.toml` and one PKCS#8 file in PEM for each selector. A selector:
//!
//! | state | means | guarantee | leads to |
//! |---|---|---|---|
//! | — | a key file that `selectors.toml` does not name | nobody uses it; a crash left it | removed with the next change |
//! | prepared | to be published, signs nothing | its key file is synced | active, when DNS has shown it for a while or a person says so |
//! | active | signs | published, or about to be: one for each algorithm | retired, when another becomes active |
//! | retired | signs nothing, stays published for mail on its way | its key file is still there | removed after a week |
//!
//! A key file is synced before the state that names it and removed after the state that does not. Changes are made
//! under a lock of the domain's folder, by the server or by `stoa keys`; a keyring sees them at its next signature.

mod folder;
mod key;
mod keyring;
pub mod rotation;
pub mod rotator;
mod selector;
#[cfg(test)]
mod tests;

pub use folder::{Folder, SigningError};
pub use key::is_shown;
pub use keyring::{Keyring, Published, SigningSettings};
pub use selector::{ALGORITHMS, Selector, State};
pub use stoa_dkim::Algorithm;

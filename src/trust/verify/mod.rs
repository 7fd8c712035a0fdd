//! x

pub mod lookup;
#[cfg(test)]
pub(crate) mod script;
pub mod spf;

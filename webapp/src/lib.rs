//! Web pages: plain view models go in, finished HTML comes out.
//!
//! Takes values that somebody else has looked up and already allowed the reader to see; gives
//! strings. Knows nothing of mailboxes, the store, sockets or requests, and reads no file at run
//! time: templates and styles are compiled in. Every value is hostile until it was escaped, which
//! the templates do by default; no template may switch that off.
//!
//! Every page stands in one frame, which says in which space the page is and who can see it. A page
//! works without scripts and asks no other host for anything; [`CONTENT_SECURITY_POLICY`] has the
//! browser insist on both.
//!
//! Known gaps: pages speak English only.

mod audience;
pub mod autoconfig;
pub mod autodiscover;
mod demo;
mod error;
mod front;
pub mod profile;
mod servers;
pub mod setup;

pub use audience::Audience;
pub use demo::{DemoForm, DemoPage, DemoPost, MessageLine, Notice};
pub use error::ErrorPage;
pub use front::FrontPage;
pub use servers::{MailServer, Security};
pub use setup::SetupPage;

use askama::Template;

/// The one stylesheet, to be served at [`STYLES_PATH`] as `text/css; charset=utf-8`.
pub const STYLES: &str = include_str!("../static/style.css");

/// Where the frame of every page looks for [`STYLES`].
pub const STYLES_PATH: &str = "/style.css";

/// What a browser may do with our pages: no scripts, no other hosts, forms only to ourselves, and
/// nobody may put a page of ours into a frame.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'; img-src 'self'";

/// Renders a template into memory.
fn rendered(template: &impl Template) -> String {
    // Writing to a String cannot fail, and a template fails by itself only when the Display of a
    // value does; ours are strings and numbers.
    template.render().expect("strings and numbers always print")
}

//! The page that a reader gets when there is nothing else to show.

use askama::Template;

use crate::{Audience, rendered};

/// What went wrong, for the person who reads it. It carries no local details.
#[derive(Clone, Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// The HTTP status code that the page goes out with.
    pub status: u16,
    /// A few words, such as `There is no such page`.
    pub title: String,
    /// A sentence that says what the reader can do.
    pub text: String,
}

impl ErrorPage {
    /// The finished page, in HTML.
    pub fn render(&self) -> String {
        rendered(self)
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn audience(&self) -> Audience {
        Audience::Public
    }
}

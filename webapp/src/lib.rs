//! Web pages: view models, templates and styles.

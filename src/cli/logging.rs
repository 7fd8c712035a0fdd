//! The log on standard error, for people or for programs.

use super::config::{Log, LogFormat, LogLevel};
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;

/// Begins to log; what is logged before is lost.
pub(super) fn begin(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let written = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // A second log of one process would be a mistake of ours; the first goes on.
    _ = match log.format {
        LogFormat::Text => written.with_target(false).try_init(),
        LogFormat::Json => written.json().try_init(),
    };
}

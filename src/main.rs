//! The `stoa` program. Everything it does is in the library, beginning with [`stoa::cli`].

fn main() -> std::process::ExitCode {
    stoa::cli::run()
}

//! The log: to stderr, or to a new file.
#![expect(clippy::disallowed_types, reason = "the log file is created here, new: it can never be an image")]

use std::fs::OpenOptions;
use std::path::Path;

use env_logger::{Builder, Target};
use log::LevelFilter;

use super::args::Verbosity;
use super::outcome::{Failure, causes};

/// Starts logging. `RUST_LOG` adds to what `-v` and `-q` ask for.
///
/// # Errors
/// When the log file exists or cannot be created.
pub(crate) fn start(verbosity: &Verbosity, file: Option<&Path>) -> Result<(), Failure> {
    let level = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, _) => LevelFilter::Debug,
    };
    let mut builder = Builder::new();
    builder.filter_level(level).parse_default_env();
    if let Some(file) = file {
        let created = OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| {
            let mut failure = Failure::new(format!("{}: the log file cannot be created", file.display()))
                .advise("give the path of a file that does not exist yet");
            failure.details = causes(&vhdx_mount::Error::io("", error));
            failure
        })?;
        builder.target(Target::Pipe(Box::new(created)));
    } else {
        builder.format_timestamp(None).format_target(false);
    }
    builder.init();
    Ok(())
}

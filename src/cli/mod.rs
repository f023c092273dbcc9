//! The command line: arguments in, text or JSON out, an exit code at the end.

mod args;
mod assumption;
#[cfg(any(target_os = "linux", windows))]
mod background;
mod chain;
mod check;
mod entry_object;
mod escape;
mod export;
mod extract;
mod info;
mod logging;
mod ls;
mod maps;
mod mount;
mod open_files;
mod outcome;
mod paths;
mod progress_line;
mod reading;
mod say;
mod scan;
mod stop;
mod units;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use outcome::{Failure, Outcome};

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    stop::survive_size_limit();
    open_files::allow_all();
    let ended = match Cli::try_parse() {
        Ok(cli) => dispatch(&cli),
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        // Help and version are no mistake.
        Err(asked) => Outcome::of_output(asked.print(), true),
    };
    match ended {
        Ok(outcome) => outcome.exit_code(),
        Err(failure) => {
            say::failure(&failure);
            failure.exit_code()
        }
    }
}

fn dispatch(cli: &Cli) -> Result<Outcome, Failure> {
    let mounts = if let Some(Command::Mount(args)) = &cli.command { args } else { &cli.mount };
    logging::start(&cli.verbosity, mount::log_file(mounts))?;
    match &cli.command {
        Some(Command::Info(args)) => info::run(args, &cli.verbosity),
        Some(Command::Check(args)) => check::run(args, &cli.verbosity),
        Some(Command::Export(args)) => export::run(args, &cli.verbosity),
        Some(Command::Extract(args)) => extract::run(args, &cli.verbosity),
        Some(Command::Ls(args)) => ls::run(args, &cli.verbosity),
        Some(Command::Scan(args)) => scan::run(args, &cli.verbosity),
        Some(Command::Unmount(args)) => mount::unmount(args),
        Some(Command::Mount(_)) | None => mount::run(mounts, &cli.verbosity),
    }
}

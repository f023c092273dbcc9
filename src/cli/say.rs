//! What is told to people on stderr.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use vhdx_mount::report::{Finding, Severity};

use super::args::Verbosity;
use super::escape::escape;
use super::outcome::Failure;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();

/// Writes a line to stderr, with the arguments of `format!`.
macro_rules! tell {
    ($($text:tt)*) => { $crate::cli::say::write_line(format_args!($($text)*)) };
}
pub(crate) use tell;

/// What [`tell!`] does. A stderr that takes nothing is no reason to leave undone what was asked for; the exit code says how it
/// went.
pub(crate) fn write_line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// The error that ends a run.
pub(crate) fn failure(failure: &Failure) {
    tell!("{RED}error{RED:#}: {}", escape(&failure.message));
    for detail in &failure.details {
        tell!("  {}", escape(detail));
    }
    if let Some(advice) = &failure.advice {
        tell!("{GREEN}try{GREEN:#}: {}", escape(advice));
    }
}

/// That the mount stands, and how to end it: for somebody who sits at a terminal.
#[cfg(any(target_os = "linux", windows))]
pub(crate) fn mounted(target: &std::path::Path, foreground: bool) {
    use std::io::IsTerminal;

    if std::io::stderr().is_terminal() {
        let quoted = vhdx_mount::report::quoted(target);
        let end = if foreground { "Ctrl-C unmounts it".to_owned() } else { format!("vhdx-mount unmount {quoted}") };
        tell!("mounted at {}; {end}", escape(&target.display().to_string()));
    }
}

/// The word for a severity, and how it is shown.
pub(crate) fn severity(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Information => ("note", DIM),
        Severity::Warning => ("warning", YELLOW),
        Severity::Error => ("damage", RED),
    }
}

/// A finding in one line, and its advice in another.
pub(crate) fn finding_lines(finding: &Finding) -> Vec<String> {
    let mut line = String::new();
    if let Some(file) = &finding.file {
        let name =
            std::path::Path::new(file).file_name().map_or_else(|| file.clone(), |n| n.to_string_lossy().into_owned());
        line.push_str(&format!("{name}: "));
    }
    match (finding.structure, finding.offset) {
        (Some(structure), Some(offset)) => line.push_str(&format!("{structure} at byte {offset}: ")),
        (Some(structure), None) => line.push_str(&format!("{structure}: ")),
        _ => {}
    }
    line.push_str(&finding.text);
    line.push_str(&format!(" [{}]", finding.code.as_str()));
    let advice = finding.advice.as_ref().map(|advice| format!("try: {advice}"));
    std::iter::once(line).chain(advice).map(|line| escape(&line)).collect()
}

/// Findings on stderr: those that matter, or all where the user wants more.
pub(crate) fn findings<'a>(findings: impl Iterator<Item = &'a Finding>, verbosity: &Verbosity) {
    let least = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => return,
        (false, 0) => Severity::Warning,
        (false, _) => Severity::Information,
    };
    for finding in findings.filter(|finding| finding.severity >= least) {
        let (word, style) = severity(finding.severity);
        for (number, line) in finding_lines(finding).iter().enumerate() {
            match number {
                0 => tell!("{style}{word}{style:#}: {line}"),
                _ => tell!("  {line}"),
            }
        }
    }
}

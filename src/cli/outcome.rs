//! How a run ends: exit codes, and errors with what to try next.

use std::process::ExitCode;

use vhdx_mount::chain::Refusal;
use vhdx_mount::{Error, ErrorKind};

/// What a run that did its work came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Well,
    /// Exit code 3: something that was read is lost or doubtful.
    NotWhole,
    /// This exit code: a signal asked for the end, and what was known by then was told.
    Stopped(u8),
}

impl Outcome {
    /// What a run came to that has told all there is to tell, if it could.
    pub(crate) fn of_output(told: std::io::Result<()>, whole: bool) -> Result<Self, Failure> {
        match told {
            // On a broken pipe whoever reads it has seen enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::new(format!("what there is to tell cannot be written: {error}")))
            }
            _ if whole => Ok(Outcome::Well),
            _ => Ok(Outcome::NotWhole),
        }
    }

    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Outcome::Well => 0,
            Outcome::NotWhole => 3,
            Outcome::Stopped(code) => code,
        })
    }
}

/// Why a run could not do its work: told on stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    usage: bool,
    pub(crate) message: String,
    pub(crate) details: Vec<String>,
    pub(crate) advice: Option<String>,
    /// Where it is a chain that was not opened: what is known of it.
    pub(crate) refusal: Option<Box<Refusal>>,
}

impl Failure {
    /// Exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { usage: false, message: message.into(), details: Vec::new(), advice: None, refusal: None }
    }

    /// Exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure { usage: true, ..Failure::new(message) }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

/// The causes of an error, one a line.
pub(crate) fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(|cause| format!("because: {cause}")).collect()
}

/// Who has the file open that Windows therefore does not open, where that can be told.
#[cfg(windows)]
fn holders(error: &Error) -> Option<String> {
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let source = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    let refused = source.raw_os_error() == Some(ERROR_SHARING_VIOLATION);
    let holders = mount_windows::holders_of(error.file().filter(|_| refused)?);
    (!holders.is_empty()).then(|| format!("it is open in: {}", holders.join(", ")))
}

/// Other systems refuse no file because of who else has it open.
#[cfg(not(windows))]
fn holders(_: &Error) -> Option<String> {
    None
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let details = error.details().iter().cloned().chain(causes(error)).chain(holders(error)).collect();
        let advice = error.advice().map(ToOwned::to_owned);
        let usage = error.kind() == ErrorKind::Usage;
        Failure { usage, message: error.to_string(), details, advice, refusal: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::from(&error)
    }
}

impl From<Box<Refusal>> for Failure {
    fn from(refusal: Box<Refusal>) -> Self {
        let failure = Failure::from(&refusal.error);
        Failure { refusal: Some(refusal), ..failure }
    }
}

impl Failure {
    /// What there is to say of the chain, for reports: a refusal of the library's, or one that came before it.
    pub(crate) fn as_refusal(&self) -> Refusal {
        let kind = if self.usage { ErrorKind::Usage } else { ErrorKind::Refused };
        let error = self.details.iter().fold(Error::new(kind, &self.message), |error, line| error.detail(line));
        let error = match &self.advice {
            Some(advice) => error.advise(advice),
            None => error,
        };
        Refusal { error, links: Vec::new(), findings: Vec::new(), candidates: Vec::new(), unreadable: Vec::new() }
    }
}

impl From<mount_api::Error> for Failure {
    fn from(error: mount_api::Error) -> Self {
        Failure::new(error.to_string())
    }
}

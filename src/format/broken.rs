use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::report::{Code, Finding, Severity};

/// A structure that breaks its format: which field, what should stand there, what does.
///
/// The structure's caller knows where it stands and whether something stands in for it, so it is the caller who makes an
/// [`Error`] or a [`Finding`] of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) field: &'static str,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Broken {
    pub(crate) fn new(field: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Broken { field, expected: expected.into(), found: found.into() }
    }

    /// The structure ends before all of its fields.
    pub(crate) fn cut(expected: u64, found: u64) -> Self {
        Broken::new("length", format!("{expected} bytes"), format!("{found} bytes"))
    }

    pub(crate) fn error(&self, structure: &'static str, offset: u64) -> Error {
        Error::new(ErrorKind::Corrupt, self.to_string()).at(structure, offset)
    }

    /// A finding; `instead` says what stands in for the structure.
    pub(crate) fn finding(
        &self,
        code: Code,
        severity: Severity,
        (structure, offset): (&'static str, u64),
        instead: &str,
    ) -> Finding {
        Finding::new(code, severity, format!("does not hold: {self}; {instead}"))
            .at(structure, offset)
            .versus(self.expected.clone(), self.found.clone())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} should be {}, but is {}", self.field, self.expected, self.found)
    }
}

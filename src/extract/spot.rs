//! Where something stands below the destination.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The place of a file or folder, or of a named stream of one. A stream's is no path: `a:b` would be one of drive A.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    path: PathBuf,
    stream: Option<OsString>,
}

impl Spot {
    pub(super) fn new(path: PathBuf) -> Self {
        Spot { path, stream: None }
    }

    /// That of a stream of what stands here.
    pub(super) fn stream(&self, name: &OsStr) -> Self {
        Spot { path: self.path.clone(), stream: Some(name.to_owned()) }
    }

    /// The path of the file or folder.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// As the manifest tells it.
    pub(super) fn text(&self) -> String {
        let mut text = match self.path.to_str() {
            // As it is, where the host separates names as the manifest does.
            Some(path) if cfg!(unix) => path.to_owned(),
            _ => self.path.iter().map(OsStr::to_string_lossy).collect::<Vec<_>>().join("/"),
        };
        if let Some(stream) = &self.stream {
            text.push(':');
            text.push_str(&stream.to_string_lossy());
        }
        text
    }

    /// The bytes of its names, which no two places share.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.path.iter().map(OsStr::as_encoded_bytes).collect::<Vec<_>>().join(&b'/');
        if let Some(stream) = &self.stream {
            bytes.push(b':');
            bytes.extend(stream.as_encoded_bytes());
        }
        bytes
    }

    /// As the manifest tells it, where that is the place itself: text holds no lone surrogate, and so two places may read
    /// alike.
    pub(super) fn exact(&self) -> Option<String> {
        self.is_exact().then(|| self.text())
    }

    /// Whether the manifest tells the place itself.
    pub(super) fn is_exact(&self) -> bool {
        self.path.to_str().is_some() && self.stream.as_ref().is_none_or(|stream| stream.to_str().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_a_file_of_one_letter_is_on_no_drive() {
        let file = Spot::new(["v", "c"].iter().collect());
        assert_eq!((file.text().as_str(), file.stream(OsStr::new("s")).text().as_str()), ("v/c", "v/c:s"));
        assert_eq!(Spot::new("c".into()).stream(OsStr::new("s")).exact().as_deref(), Some("c:s"));
    }
}

//! What it means for a volume that nothing tells its file system: by the type that its partition has.

use crate::fs::Untold;
use crate::report::{Code, Finding, Severity};
use crate::volume::{Partition, Promise};

/// What there is to say of a volume whose file system is not told, or not proven to be `name`.
pub(super) fn finding(partition: &Partition, name: Option<&str>, untold: Untold) -> Option<Finding> {
    let number = partition.number;
    let promise = partition.kind.promises();
    let advice = match (untold, promise) {
        (Untold::Lost(_) | Untold::Doubtful(_), _) => {
            "its files may be whole all the same: look for another copy of the image; volume-N.raw and disk.raw hold its bytes, for tools that search for file systems and files"
        }
        _ => {
            "if it had files, its first sectors were overwritten or encrypted by a program that leaves no mark: volume-N.raw and disk.raw hold its bytes, for tools that search for file systems and files"
        }
    };
    let told = |code, severity, text: String, at: u64| {
        let at = partition.disk.start.saturating_add(at);
        Some(Finding::new(code, severity, text).at("boot sector", at).advise(advice))
    };
    match (untold, promise) {
        (_, Promise::NoFiles) | (Untold::Empty, _) | (Untold::Unknown, Promise::Nothing) => None,
        (Untold::Lost(at), _) => {
            let text = format!(
                "which file system volume {number} has cannot be told: bytes that would tell are lost, the first of them at byte {at} of the volume"
            );
            told(Code::FileSystemLost, Severity::Error, text, at)
        }
        (Untold::Doubtful(at), _) => {
            let what = match name {
                Some(name) => format!("that volume {number} is {name} is doubtful: so are bytes that tell it"),
                None => {
                    format!("which file system volume {number} has cannot be told: bytes that would tell are doubtful")
                }
            };
            let text = format!("{what}, the first of them at byte {at} of the volume");
            told(Code::FileSystemLost, Severity::Error, text, at)
        }
        (Untold::Unknown, Promise::Windows | Promise::Ntfs) => {
            let kind = partition.kind.describe();
            let text = format!(
                "the type of volume {number} is \"{kind}\", and no file system that is known is in it, though it is not empty"
            );
            told(Code::FileSystemUnknown, Severity::Warning, text, 0)
        }
    }
}

//! Counts damaged BAT entries by kind, so that a million of them are one finding.

use crate::report::{Code, Finding, Severity, THE_IMAGE};

/// So many entries of one kind are named.
const NAMED: usize = 4;

/// So many blocks that are partially present in an image without a parent show that it had one: a single one may be one bit
/// that turned.
pub(super) const SEVERAL_PARTIAL: u64 = 2;

/// How many entries have one kind of damage, and which is the first.
#[derive(Debug, Clone)]
struct Kind {
    code: Code,
    structure: &'static str,
    count: u64,
    /// Byte offset in the file of the first one.
    offset: u64,
    /// What the first ones are, in words.
    names: Vec<String>,
}

/// All kinds of damage that were met.
#[derive(Debug, Default)]
pub(super) struct Tally(Vec<Kind>);

impl Tally {
    /// Counts one. `name` tells which it is and is asked for the first few of its kind.
    pub(super) fn count(
        &mut self,
        code: Code,
        (structure, offset): (&'static str, u64),
        name: impl FnOnce() -> String,
    ) {
        match self.0.iter_mut().find(|kind| kind.code == code && kind.structure == structure) {
            Some(kind) => {
                kind.count = kind.count.saturating_add(1);
                if kind.names.len() < NAMED {
                    kind.names.push(name());
                }
            }
            None => self.0.push(Kind { code, structure, count: 1, offset, names: vec![name()] }),
        }
    }

    /// How many of this kind were counted.
    pub(super) fn count_of(&self, code: Code) -> u64 {
        self.0.iter().filter(|kind| kind.code == code).fold(0, |count, kind| count.saturating_add(kind.count))
    }

    /// Whether nothing of this kind was counted.
    pub(super) fn is_without(&self, code: Code) -> bool {
        self.0.iter().all(|kind| kind.code != code)
    }

    /// One finding for each kind of damage to the tables of a file of `file_size` bytes.
    pub(super) fn findings(self, file_size: u64) -> impl Iterator<Item = Finding> {
        self.0.into_iter().map(move |kind| {
            let known = WORDS.iter().find(|words| words.code == kind.code);
            let Words { severity, one, many, consequence, .. } = known.unwrap_or(&UNREADABLE);
            let names = kind.names.join(", ");
            let text = match kind.count {
                1 => format!("{names} {one}; {consequence}"),
                count if usize::try_from(count) == Ok(kind.names.len()) => {
                    format!("{count} {many} ({names}); {consequence}")
                }
                count => format!("{count} {many}, the first are {names}; {consequence}"),
            };
            let text = match kind.code {
                Code::BlockPartialWithoutParent if kind.count >= SEVERAL_PARTIAL => {
                    format!("{text}; what reads as not there may be a parent's, and is doubtful")
                }
                Code::BlockPastEnd => format!("the file ends at byte {file_size}: {text}"),
                _ => text,
            };
            let advice = match kind.code {
                Code::BlockPartialWithoutParent if kind.count >= SEVERAL_PARTIAL => format!(
                    "look for a copy of this image with its own metadata; --assume {THE_IMAGE}:parent=yes --parent FILE --allow-mismatch --accept-doubtful reads it over that file"
                ),
                code => advice(code).to_owned(),
            };
            Finding::new(kind.code, *severity, text).at(kind.structure, kind.offset).advise(advice)
        })
    }
}

/// What is said of a kind of damage.
struct Words {
    code: Code,
    severity: Severity,
    one: &'static str,
    many: &'static str,
    consequence: &'static str,
}

const fn error(code: Code, one: &'static str, many: &'static str, consequence: &'static str) -> Words {
    Words { code, severity: Severity::Error, one, many, consequence }
}

const fn warning(code: Code, one: &'static str, many: &'static str, consequence: &'static str) -> Words {
    Words { code, severity: Severity::Warning, one, many, consequence }
}

const LOST: &str = "the content is lost";

/// Of all kinds but parts of the BAT that cannot be read.
const WORDS: [Words; 12] = [
    error(Code::BlockPastEnd, "reaches past its end", "blocks reach past its end", LOST),
    error(
        Code::BlockMisaligned,
        "has reserved bits set",
        "entries have reserved bits set",
        "the content is lost, and that there is none is doubtful",
    ),
    error(
        Code::BlockOnStructure,
        "points onto a structure of the file",
        "entries point onto structures of the file",
        LOST,
    ),
    error(
        Code::BlockStateReserved,
        "has a state that the format does not know",
        "entries have a state that the format does not know",
        LOST,
    ),
    error(
        Code::BlockPartialWithoutParent,
        "is partially present, and the image has no parent",
        "blocks are partially present, and the image has no parent",
        LOST,
    ),
    warning(
        Code::BlockStateOldUnmapped,
        "has state 5, the UNMAPPED of version 0.95",
        "entries have state 5, the UNMAPPED of version 0.95",
        "they read as zeros",
    ),
    error(
        Code::BlocksOverlap,
        "claims a place in the file that another block claims too",
        "blocks claim places in the file that others claim too",
        "all of them are doubtful",
    ),
    error(
        Code::BatShort,
        "has no entry in the BAT",
        "sector bitmaps have no entry in the BAT",
        "the partially present blocks that need it are lost",
    ),
    error(
        Code::BitmapMissing,
        "is not there, and partially present blocks need it",
        "sector bitmaps are not there, and partially present blocks need them",
        "those blocks are lost",
    ),
    error(
        Code::BitmapUnreadable,
        "cannot be read as a whole, and partially present blocks need it",
        "sector bitmaps cannot be read as a whole, and partially present blocks need them",
        "what their unreadable parts describe is lost",
    ),
    warning(
        Code::HostReadError,
        "cannot be read as a whole, and nothing needs it",
        "sector bitmaps that nothing needs cannot be read as a whole",
        "no byte is lost by it",
    ),
    warning(
        Code::LogWritesForbiddenPlace,
        "is written by the log, which is for tables alone",
        "payload blocks are written by the log, which is for tables alone",
        "what it writes is shown, as a replay would write it",
    ),
];

const UNREADABLE: Words =
    error(Code::BatUnreadable, "cannot be read", "parts of the BAT cannot be read", "the blocks in them are lost");

fn advice(code: Code) -> &'static str {
    match code {
        Code::BlockStateOldUnmapped => "nothing is to be done",
        Code::BatUnreadable | Code::BitmapUnreadable | Code::HostReadError => {
            "copy the image onto sound storage with ddrescue and check the copy"
        }
        Code::BlockPastEnd => "if the image was copied, copy it again: the end of the file may be missing",
        _ => "look for another copy of this image: a backup, a replica, a shadow copy",
    }
}

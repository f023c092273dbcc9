//! The report of a chain that was not opened: why, what was looked for, and what was known by then (docs/REPORT.md).

use std::error::Error as _;

use serde_json::{Value, json};

use super::report::{SCHEMA, link_object};
use crate::chain::{Evidence, Refusal};
use crate::error::Error;

/// The report of a chain that was not opened. It has the fields of the report of one that was, and `error`.
#[must_use]
pub fn refused(refusal: &Refusal) -> Value {
    json!({
        "schema": SCHEMA,
        "program": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "complete": false,
        "error": error_object(&refusal.error, refusal),
        "disk": null,
        "links": (0u32..).zip(&refusal.links).map(|(number, link)| link_object(number, link)).collect::<Vec<_>>(),
        "volumes": [],
        "findings": refusal.findings,
        "lost": [],
        "doubtful": [],
    })
}

fn error_object(error: &Error, refusal: &Refusal) -> Value {
    let (structure, offset) = error.place();
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(known) = cause {
        causes.push(known.to_string());
        cause = known.source();
    }
    json!({
        "kind": error.kind().as_str(),
        "text": error.message(),
        "file": error.file().map(|file| file.display().to_string()),
        "structure": structure,
        "offset": offset,
        "details": error.details(),
        "causes": causes,
        "advice": error.advice(),
        "candidates": refusal.candidates.iter().map(candidate_object).collect::<Vec<_>>(),
        "unreadable": refusal.unreadable.iter().map(|one| json!({
            "path": one.path.display().to_string(),
            "kind": one.kind.as_str(),
            "reason": one.reason,
            "advice": one.advice,
        })).collect::<Vec<_>>(),
    })
}

fn candidate_object(candidate: &Evidence) -> Value {
    json!({
        "path": candidate.path.display().to_string(),
        "found_by": candidate.found.describe(),
        "data_write_guid": candidate.data_write_guid.map(|guid| guid.to_string()),
        "digits_alike": candidate.digits_alike,
        "same_size": candidate.same_size,
        "same_sector_size": candidate.same_sector_size,
        "same_disk_id": candidate.same_disk_id,
        "sectors_compared": candidate.sectors_compared,
        "sectors_equal": candidate.sectors_equal,
        "structures_looked_at": candidate.disk.as_ref().map(|disk| disk.looked_at),
        "structures_holding": candidate.disk.as_ref().map(|disk| disk.holding),
        "is_raw": candidate.is_raw,
        "parent_of": candidate.parent_of.as_ref().map(|path| path.display().to_string()),
        "merged_from": candidate.merged_from.as_ref().map(|path| path.display().to_string()),
        "speaks": candidate.speaks(),
        "structures_holding_alone": candidate.disk.as_ref().map(|_| candidate.holding_alone),
        "excluded": candidate.excluded,
    })
}

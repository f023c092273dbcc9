//! The regions that count: of two region tables, or by what stands in the file.

use std::ops::Range;

use super::checksum;
use super::open::structure;
use super::region_table::{self, RegionTable};
use super::search;
use crate::error::{Error, ErrorKind, Result};
use crate::format::broken::Broken;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

/// What is known before the regions are.
pub(super) struct Known<'a> {
    /// Why bytes are doubtful that a log was about to change.
    pub(super) log_doubt: Code,
    /// A region that is required and not known is read over.
    pub(super) accept_unknown: bool,
    /// Where the log stands in the file.
    pub(super) log: Option<&'a Range<u64>>,
    /// What the user says, in bytes. Counts only where the image does not tell.
    pub(super) block_size: Option<u32>,
}

/// The region table, and why it is doubtful, if it is.
///
/// # Errors
/// Where neither table holds and nothing stands in for them, or where a region is required that is not known.
pub(super) fn find(
    file: &dyn ReadAt,
    known: &Known<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(RegionTable, Option<Code>)> {
    let Known { log_doubt, accept_unknown, .. } = *known;
    let mut doubtful = false;
    let bytes = region_table::OFFSETS.map(|offset| structure(file, offset, region_table::LENGTH, &mut doubtful));
    let mut parse = |bytes: &std::result::Result<Vec<u8>, Broken>, place| {
        let (table, wrong_bit) =
            checksum::parse(bytes.as_ref().map_err(Clone::clone)?, RegionTable::parse, region_table::used)?;
        findings.extend(wrong_bit.map(|bit| bit.finding(Code::RegionTableBad, place)));
        Ok::<_, Broken>(table)
    };
    let tables = [
        parse(&bytes[0], (region_table::NAMES[0], region_table::OFFSETS[0])),
        parse(&bytes[1], (region_table::NAMES[1], region_table::OFFSETS[1])),
    ];
    for ((table, name), offset) in tables.iter().zip(region_table::NAMES).zip(region_table::OFFSETS) {
        if let Err(broken) = table
            && tables.iter().any(std::result::Result::is_ok)
        {
            findings.push(broken.finding(
                Code::RegionTableBad,
                Severity::Warning,
                (name, offset),
                "the other region table is used",
            ));
        }
    }
    if let [Ok(first), Ok(second)] = &tables
        && first != second
    {
        let (table, doubt) = choose(file, first, second, known.log, findings);
        let unknown = judge_unknown(&table, accept_unknown, findings)?;
        return Ok((table, unknown.or(doubt).or(doubtful.then_some(log_doubt))));
    }
    let [first, second] = tables;
    match first.or_else(|first| second.map_err(|_| first)) {
        Ok(table) => {
            let unknown = judge_unknown(&table, accept_unknown, findings)?;
            if let Some(found) = misled(file, &table, known.log, findings) {
                return Ok((found, Some(Code::RegionTablesLost)));
            }
            Ok((table, unknown.or(doubtful.then_some(log_doubt))))
        }
        Err(broken) => {
            let damaged = bytes.iter().flatten().filter_map(|bytes| search::damaged_table(file, bytes)).collect();
            let table = inferred(file, known, damaged, &broken, findings)?;
            let unknown = judge_unknown(&table, accept_unknown, findings)?;
            Ok((table, unknown.or(Some(Code::RegionTablesLost))))
        }
    }
}

/// One of two region tables that both hold and differ. Where they place BAT or metadata differently, all is doubtful.
fn choose(
    file: &dyn ReadAt,
    first: &RegionTable,
    second: &RegionTable,
    log: Option<&Range<u64>>,
    findings: &mut Vec<Finding>,
) -> (RegionTable, Option<Code>) {
    let places = |table: &RegionTable| (table.bat.clone(), table.metadata.clone());
    let starts = |table: &RegionTable| (table.bat.start, table.metadata.start);
    let same = places(first) == places(second);
    let inferred = (!same).then(|| search::regions(file, log)).flatten().map(|(found, _)| found);
    let (mut table, other, name) = match inferred {
        Some(found) if starts(&found) == starts(second) => (second.clone(), first, "the second"),
        _ => (first.clone(), second, "the first"),
    };
    // What either requires is required.
    let more = other.unknown.iter().filter(|region| !table.unknown.contains(region)).cloned().collect::<Vec<_>>();
    table.unknown.extend(more);
    let (severity, text) = if same {
        (
            Severity::Warning,
            format!("both region tables hold and differ in other regions than BAT and metadata; {name} is used"),
        )
    } else {
        let text = "both region tables hold and place BAT or metadata differently: nothing proves which one is right";
        (Severity::Error, format!("{text}; {name} is used, and all that it leads to is doubtful"))
    };
    let finding = Finding::new(Code::RegionTablesDiffer, severity, text)
        .at(region_table::NAMES[0], region_table::OFFSETS[0])
        .versus(first.to_string(), second.to_string());
    findings.push(if same {
        finding
    } else {
        finding.advise("look for a copy of the file; --accept-doubtful serves what was chosen")
    });
    (table, (!same).then_some(Code::RegionTablesDiffer))
}

/// The regions, found by what stands in them, where the region tables hold and lead to nothing: past the end of the file, or
/// to metadata without their signature.
fn misled(
    file: &dyn ReadAt,
    table: &RegionTable,
    log: Option<&Range<u64>>,
    findings: &mut Vec<Finding>,
) -> Option<RegionTable> {
    let size = file.size();
    let outside = table.bat.start >= size || table.metadata.start >= size;
    if !outside && search::is_metadata_at(file, table.metadata.start) {
        return None;
    }
    let (found, _) = search::regions(file, log)?;
    let text = format!(
        "the region tables hold and lead to nothing; by what stands there the metadata region is at byte {} and the BAT at byte {}; all that they tell is doubtful",
        found.metadata.start, found.bat.start
    );
    let told = format!("metadata at byte {}, BAT at byte {}", table.metadata.start, table.bat.start);
    findings.push(
        Finding::new(Code::RegionTablesLost, Severity::Error, text)
            .at("both region tables", region_table::OFFSETS[0])
            .versus(format!("regions within the {size} bytes of the file"), told)
            .advise(INFERRED_REGIONS_ADVICE),
    );
    Some(RegionTable { unknown: table.unknown.clone(), ..found })
}

const INFERRED_REGIONS_ADVICE: &str = "look for a copy of the file; --accept-doubtful serves what was inferred";

/// The regions where neither region table holds, from what comes first: two tables that agree and make sense but for their
/// checksums; what stands in the regions; one table that makes sense; a BAT with flaws; the place of a BAT that claims nothing; a
/// BAT alone.
fn inferred(
    file: &dyn ReadAt,
    known: &Known<'_>,
    damaged: Vec<RegionTable>,
    broken: &Broken,
    findings: &mut Vec<Finding>,
) -> Result<RegionTable> {
    let agree = matches!(damaged.as_slice(), [first, second] if first == second);
    let by_content = if agree { None } else { search::regions(file, known.log) };
    let (table, how) = if let Some((table, true)) = by_content {
        (table, "by what stands there")
    } else if let Some(table) = damaged.into_iter().next() {
        (table, "by their entries, which make sense all the same,")
    } else if let Some((table, false)) = by_content {
        (table, "by what stands there, though entries of the BAT are damaged,")
    } else if let Some(table) = search::regions_of_an_empty_disk(file, known.log) {
        (table, "by what stands there, and because nothing in the file is a BAT that claims a block,")
    } else {
        return without_metadata(file, known, broken, findings);
    };
    let text = format!(
        "neither region table holds ({broken}); {how} the metadata region is at byte {} and the BAT at byte {}; all that they tell is doubtful",
        table.metadata.start, table.bat.start
    );
    findings.push(lost(text));
    Ok(table)
}

/// The regions where the metadata table is gone as well.
fn without_metadata(
    file: &dyn ReadAt,
    known: &Known<'_>,
    broken: &Broken,
    findings: &mut Vec<Finding>,
) -> Result<RegionTable> {
    let Some((table, others)) = search::regions_without_metadata(file, known.log, known.block_size) else {
        let advice = "neither region table holds, and no BAT was found by its content; look for a copy of the file. If it has a parent, opening that one shows the disk as it was before";
        return Err(broken.error("both region tables", region_table::OFFSETS[0]).advise(advice));
    };
    let metadata = match table.metadata.is_empty() {
        true => "no metadata were found".to_owned(),
        false => format!("metadata without their table are at byte {}", table.metadata.start),
    };
    let others = match others {
        0 => String::new(),
        others => format!(" (other places that look like one: {others})"),
    };
    let text = format!(
        "neither region table holds ({broken}), and {metadata}; by what stands there the BAT is at byte {}{others}; all that it tells is doubtful",
        table.bat.start
    );
    findings.push(lost(text));
    Ok(table)
}

fn lost(text: String) -> Finding {
    Finding::new(Code::RegionTablesLost, Severity::Error, text)
        .at("both region tables", region_table::OFFSETS[0])
        .advise(INFERRED_REGIONS_ADVICE)
}

/// Regions that are not known: why all is doubtful, where one is required and accepted all the same.
fn judge_unknown(table: &RegionTable, accept: bool, findings: &mut Vec<Finding>) -> Result<Option<Code>> {
    let mut doubt = None;
    for region in &table.unknown {
        let (id, at) = (region.id, region.file.start);
        if region.required {
            let text = format!(
                "region {id} at byte {at} is required and not known to this program, which therefore cannot tell what the disk holds"
            );
            if !accept {
                let advice = "--accept-doubtful reads it as if the region were not there; all is doubtful then";
                let error = Error::new(ErrorKind::Unsupported, text).at("region table", region_table::OFFSETS[0]);
                return Err(error.advise(advice));
            }
            findings.push(Finding::new(Code::RegionUnknown, Severity::Error, text).at("region", at));
            doubt = Some(Code::RegionUnknown);
            continue;
        }
        let text = format!("region {id} is not known to this program and not required; it is left alone");
        findings.push(Finding::new(Code::RegionUnknown, Severity::Information, text).at("region", at));
    }
    Ok(doubt)
}

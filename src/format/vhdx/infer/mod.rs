//! Metadata that is lost, inferred from what is there: BAT, file size, partition table, the image's relatives.
//!
//! What is inferred is doubtful. Where several block sizes make sense and nothing decides, the image is refused, and the
//! refusal names them. Costs nothing where no metadata is lost.

mod arrangement;
mod bat_survey;
mod disk_end;

use std::ops::Range;
use std::slice;

pub(super) use self::arrangement::Misfit;
use self::arrangement::{BLOCK_SIZES, Choice, MOST_ENTRIES, Setting, choose};
use self::bat_survey::BatSurvey;
use self::disk_end::DiskStart;
use super::bat::{BatEntry, BatShape, PayloadState};
use super::metadata::{Loose, MAX_VIRTUAL_DISK_SIZE, METADATA_TABLE, Metadata};
use super::region_table::RegionTable;
use super::resolve::Vhdx;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Facts, FormatOptions};
use crate::image::ReadAt;
use crate::layer::Geometry;
use crate::report::{Code, Finding, Severity};

/// What the metadata say, or should.
#[derive(Debug)]
pub(super) struct Completed {
    pub(super) geometry: Geometry,
    pub(super) has_parent: bool,
    /// From this byte of the disk on, its map depends on what was inferred. `None` where nothing was.
    pub(super) doubtful_from: Option<u64>,
}

/// Adds to `metadata` what is lost of it, and tells what was inferred, from what.
///
/// # Errors
/// Where nothing decides between several block sizes.
pub(super) fn complete(
    file: &dyn ReadAt,
    regions: &RegionTable,
    metadata: &Metadata,
    options: &FormatOptions,
    findings: &mut Vec<Finding>,
) -> Result<Completed> {
    let known = (metadata.geometry(), metadata.has_parent, metadata.loose);
    if let (Some(geometry), Some(has_parent), Loose::Nothing) = known {
        return Ok(Completed { geometry, has_parent, doubtful_from: None });
    }
    if regions.bat.start >= file.size() {
        let text = format!("{}; nor can it be inferred, for the file ends before its BAT", why(metadata, regions));
        let error = Error::new(ErrorKind::Corrupt, text).at("metadata region", regions.metadata.start);
        return Err(error.advise("look for a copy of the file that was not cut"));
    }
    let survey = BatSurvey::of(file, &regions.bat, MOST_ENTRIES);
    let mut inference = Inference { file, regions, metadata, options, survey, told: Vec::new() };
    let completed = match known {
        (Some(geometry), Some(has_parent), loose) => {
            inference.tell("items that stand where they usually do", "nothing points at them");
            let from = if loose == Loose::DiskSize { inference.end_of_told(&geometry) } else { 0 };
            Completed { geometry, has_parent, doubtful_from: Some(from) }
        }
        _ => inference.complete()?,
    };
    let taken: Vec<String> = inference.told.iter().map(|(what, by)| format!("{what} ({by})")).collect();
    let text = format!("{}; taken instead: {}", why(metadata, regions), taken.join("; "));
    let finding = Finding::new(Code::MetadataInferred, Severity::Error, text);
    let finding = match regions.metadata.is_empty() {
        true => finding,
        false => finding.at("metadata region", regions.metadata.start),
    };
    findings.push(finding.advise(
        "look for a copy of the file; --accept-doubtful serves what was inferred; --assume gives what is known better",
    ));
    Ok(completed)
}

/// What speaks against the sizes that the metadata of an open image tell.
pub(super) fn misfit(vhdx: &Vhdx) -> Option<Misfit> {
    let survey = BatSurvey::of(&vhdx.file, &vhdx.bat, MOST_ENTRIES);
    let setting = Setting {
        survey: &survey,
        virtual_size: Some(vhdx.geometry.virtual_size),
        has_parent: vhdx.is_differencing(),
        structures: &vhdx.structures,
        file_size: vhdx.file.size(),
    };
    arrangement::misfit(&setting, vhdx.geometry.block_size, vhdx.geometry.logical_sector_size)
}

/// What was inferred: what is taken, and why.
type Told = (String, String);

struct Inference<'a> {
    file: &'a dyn ReadAt,
    regions: &'a RegionTable,
    metadata: &'a Metadata,
    options: &'a FormatOptions,
    survey: BatSurvey,
    told: Vec<Told>,
}

impl Inference<'_> {
    fn complete(&mut self) -> Result<Completed> {
        let has_parent = self.has_parent();
        let start = self.disk_start();
        let Choice { fit, .. } = self.sizes(has_parent, start.as_ref())?;
        let shape_doubtful = !self.told.is_empty();
        let (block_size, logical_sector_size) = (fit.block_size, fit.logical_sector_size);
        let physical_sector_size = self.metadata.physical_sector_size.unwrap_or(logical_sector_size);
        let mut geometry =
            Geometry { virtual_size: MAX_VIRTUAL_DISK_SIZE, block_size, logical_sector_size, physical_sector_size };
        let last = self.last_block(&geometry);
        geometry.virtual_size = self.virtual_size(&geometry, last, start.as_ref());
        let doubtful_from = if shape_doubtful { 0 } else { self.end_of_told(&geometry) };
        Ok(Completed { geometry, has_parent, doubtful_from: Some(doubtful_from) })
    }

    /// The byte of the disk where the last block begins that the BAT says anything of. Whatever the size of the disk, it
    /// moves no block: up to there all is right.
    fn end_of_told(&self, geometry: &Geometry) -> u64 {
        self.last_block(geometry).unwrap_or(0).saturating_mul(u64::from(geometry.block_size))
    }

    fn tell(&mut self, what: impl Into<String>, by: impl Into<String>) {
        self.told.push((what.into(), by.into()));
    }

    fn has_parent(&mut self) -> bool {
        if let Some(known) = self.metadata.has_parent {
            return known;
        }
        let partial = |entry: BatEntry| entry.payload_state() == PayloadState::PartiallyPresent;
        let (has_parent, by) = if let Some(told) = self.options.assumed.has_parent {
            (told, GIVEN)
        } else if self.metadata.parent.is_some() {
            (true, "there is a parent locator")
        } else if self.survey.entries.iter().any(|(_, entry)| partial(*entry)) {
            (true, "blocks are partly present")
        } else if let Some(told) = self.options.kin.has_parent {
            (told, "by its name")
        } else {
            (false, "nothing tells of one; --assume parent=yes if it has one")
        };
        self.tell(if has_parent { "it has a parent" } else { "it has no parent" }, by);
        has_parent
    }

    /// The start of the disk, where block 0 stands in this file. That is the first entry, whatever the block size.
    fn disk_start(&self) -> Option<DiskStart> {
        let (_, first) = self.survey.entries.first().filter(|(number, _)| *number == 0)?;
        let there = first.payload_state() == PayloadState::FullyPresent && first.is_aligned();
        there.then(|| DiskStart::read(self.file, first.file_offset())).flatten()
    }

    /// Block size and logical sector size.
    fn sizes(&mut self, has_parent: bool, start: Option<&DiskStart>) -> Result<Choice> {
        let Facts { block_size, logical_sector_size, virtual_size, .. } = self.options.assumed;
        let sector = self.sector_size(logical_sector_size, start);
        let mut structures: Vec<Range<u64>> = vec![0..1 << 20, self.regions.bat.clone(), self.regions.metadata.clone()];
        structures.extend(self.regions.unknown.iter().map(|region| region.file.clone()));
        let setting = Setting {
            survey: &self.survey,
            virtual_size: self.metadata.virtual_size.or(virtual_size),
            has_parent,
            structures: &structures,
            file_size: self.file.size(),
        };
        let one_block = self.metadata.block_size.or(block_size).map(|size| vec![size]);
        let blocks = one_block.clone().unwrap_or_else(|| BLOCK_SIZES.to_vec());
        let sectors = sector.map_or_else(|| vec![512, 4096], |(size, _)| vec![size]);
        let choice = match (choose(&setting, &blocks, &sectors), one_block.as_deref()) {
            (Ok(choice), _) => choice,
            // What is known or given is taken, whatever speaks against it.
            (Err(_), Some([only])) => {
                setting.take(*only, *sectors.first().unwrap_or(&512)).ok_or_else(contradiction)?
            }
            (Err(candidates), _) => return Err(self.undecided(&candidates, has_parent)),
        };
        if self.metadata.logical_sector_size.is_none() {
            let by = sector.map_or("what the BAT allows, 512 where it allows both", |(_, by)| by);
            self.tell(format!("logical sectors of {} bytes", choice.fit.logical_sector_size), by);
        }
        if self.metadata.block_size.is_none() {
            let by = if block_size.is_some() { GIVEN.to_owned() } else { by(&choice) };
            self.tell(format!("blocks of {}", mib(choice.fit.block_size)), by);
        }
        Ok(choice)
    }

    /// The logical sector size and who tells it; `None` where only the BAT can.
    fn sector_size(&self, assumed: Option<u32>, start: Option<&DiskStart>) -> Option<(u32, &'static str)> {
        let known = self.metadata.logical_sector_size.map(|size| (size, "metadata"));
        // Logical sectors are never larger than physical ones.
        let physical = self.metadata.physical_sector_size.filter(|size| *size == 512);
        known
            .or(assumed.map(|size| (size, GIVEN)))
            .or(physical.map(|size| (size, "its physical sectors are as small")))
            .or(self.options.kin.logical_sector_size.map(|size| (size, "its relative in the chain has them")))
            .or(start.and_then(DiskStart::sector_size).map(|size| (size, "the GPT stands in the second sector")))
    }

    fn undecided(&self, candidates: &[u32], has_parent: bool) -> Error {
        let names: Vec<String> = candidates.iter().map(|size| mib(*size)).collect();
        // What Windows makes where nobody asks for anything else.
        let usual = if has_parent { 2 << 20 } else { 32 << 20 };
        let first = candidates.iter().find(|size| **size == usual).or(candidates.last());
        let first = first.map_or_else(String::new, |size| short(*size));
        let text = format!(
            "{}; what the BAT holds would make sense with blocks of {}, and nothing decides",
            why(self.metadata, self.regions),
            names.join(", ")
        );
        Error::new(ErrorKind::Corrupt, text).at("metadata region", self.regions.metadata.start).advise(format!(
            "--assume block-size={first} (or another of these) --accept-doubtful shows what is there then; look for a copy of the file"
        ))
    }

    /// The last payload block that the BAT says anything of.
    fn last_block(&self, geometry: &Geometry) -> Option<u64> {
        let shape = BatShape::of(geometry)?;
        let is_payload = |number: u64| shape.payload_block(number).is_some();
        shape.payload_block(self.survey.last(self.file, &self.regions.bat, is_payload)?)
    }

    /// The size of the disk: no smaller than the blocks that the BAT speaks of, no larger than the BAT has room for.
    fn virtual_size(&mut self, geometry: &Geometry, last: Option<u64>, start: Option<&DiskStart>) -> u64 {
        if let Some(known) = self.metadata.virtual_size {
            return known;
        }
        let block_size = u64::from(geometry.block_size);
        let sector_size = u64::from(geometry.logical_sector_size);
        let ratio = BatShape::of(geometry).map_or(1, |shape| shape.chunk_ratio);
        let bitmaps = self.survey.room.checked_div(ratio.saturating_add(1)).unwrap_or(0);
        let room = self.survey.room.saturating_sub(bitmaps).saturating_mul(block_size).min(MAX_VIRTUAL_DISK_SIZE);
        let blocks = last.map_or(0, |last| last.saturating_add(1).saturating_mul(block_size));
        // A disk may end anywhere in its last block.
        let needed = last.map_or(0, |last| last.saturating_mul(block_size).saturating_add(1));
        let at_least = |size: u64| if size < needed { blocks } else { size };
        let (told, by, may_be_larger) = if let Some(given) = self.options.assumed.virtual_size {
            (given, GIVEN, false)
        } else if let Some(kin) = self.options.kin.virtual_size {
            // One of the two may have been resized.
            (at_least(kin), "that of its relative in the chain, or what the BAT needs", true)
        } else if let Some(end) = start.and_then(|start| start.end(geometry.logical_sector_size)) {
            (end.bytes.max(blocks), "what its partition table covers, or what the BAT needs", !end.is_exact)
        } else {
            (blocks, "up to the last block that the BAT speaks of", true)
        };
        let whole = told.min(room).max(block_size.min(room)).checked_next_multiple_of(sector_size);
        let size = whole.unwrap_or(sector_size).clamp(sector_size, MAX_VIRTUAL_DISK_SIZE);
        let more = match may_be_larger {
            true => format!("; the disk may be larger than {size} bytes, and what lies behind them is not shown"),
            false => String::new(),
        };
        self.tell(format!("a disk of {size} bytes"), format!("{by}{more}"));
        size
    }
}

const GIVEN: &str = "as given with --assume";

fn by(choice: &Choice) -> String {
    let others: Vec<String> = choice.others.iter().map(|size| mib(*size)).collect();
    match others.is_empty() {
        true => choice.by.to_owned(),
        false => format!("{}; possible too: {}", choice.by, others.join(", ")),
    }
}

fn contradiction() -> Error {
    Error::new(ErrorKind::Corrupt, "block size and sector size contradict each other")
}

/// Why metadata is lost, in one line.
fn why(metadata: &Metadata, regions: &RegionTable) -> String {
    if regions.metadata.is_empty() {
        return "metadata is lost, and where it stood".to_owned();
    }
    // Without the table nothing else can be there.
    let table = metadata.lost.iter().find(|error| error.place().0 == Some(METADATA_TABLE));
    let errors: Vec<String> =
        table.map_or(metadata.lost.as_slice(), slice::from_ref).iter().map(ToString::to_string).collect();
    format!("metadata is lost: {}", errors.join("; "))
}

fn mib(size: u32) -> String {
    format!("{} MiB", size >> 20)
}

fn short(size: u32) -> String {
    format!("{}M", size >> 20)
}

//! `vhdx-mount info`: the chain as a table, the findings, the volumes.

use std::collections::BTreeSet;
use std::io::{self, Write};

use vhdx_mount::bytes::Guid;
use vhdx_mount::chain::Link;
use vhdx_mount::fs::FsOptions;
use vhdx_mount::namespace::{Inventory, Volume, report};
use vhdx_mount::report::{Code, Finding, Severity};
use vhdx_mount::volume::Scheme;

use super::args::{InfoArgs, Verbosity};
use super::chain;
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::say::{BOLD, DIM, finding_lines, severity};
use super::units::size;

/// Opens the chain and describes it.
pub(crate) fn run(args: &InfoArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let opened = chain::take_inventory(&args.chain, &args.how, &FsOptions::default());
    let inventory = chain::print_refusal(opened, args.json)?;
    let mut out = anstream::stdout().lock();
    let told = if args.json {
        let json = serde_json::to_string_pretty(&report(&inventory)).unwrap_or_default();
        writeln!(out, "{json}")
    } else {
        tell(&mut out, &inventory, verbosity)
    };
    let whole = inventory.all_findings().all(|finding| finding.severity != Severity::Error);
    Outcome::of_output(told.and_then(|()| out.flush()), whole)
}

fn tell(out: &mut impl Write, inventory: &Inventory, verbosity: &Verbosity) -> io::Result<()> {
    links(out, inventory, verbosity)?;
    volumes(out, inventory)?;
    let mut found: Vec<_> = inventory.all_findings().collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings(out, &found, "none so far; blocks and files are looked at when they are read")
}

/// The disk and its links, as a table.
pub(super) fn links(out: &mut impl Write, inventory: &Inventory, verbosity: &Verbosity) -> io::Result<()> {
    let links = inventory.chain.links();
    let disk = inventory.chain.disk().geometry();
    let count = if links.len() == 1 { "1 link".to_owned() } else { format!("{} links", links.len()) };
    let (disk_size, sectors) = (size(disk.virtual_size), disk.logical_sector_size);
    writeln!(out, "{BOLD}disk{BOLD:#}  {disk_size} in {count}, logical sectors of {sectors} bytes\n")?;
    let heads = ["link", "image", "kind", "disk", "in file", "identity", "log", "found by"];
    let mut rows: Vec<_> = links.iter().enumerate().map(|(number, link)| link_row(number, link)).collect();
    if let Some((columns, _)) = terminal_size::terminal_size_of(io::stdout()) {
        shorten_images(&heads, &mut rows, columns.0.into());
    }
    table(out, &heads, rows)?;
    if verbosity.verbose > 0 {
        writeln!(out)?;
        for (number, link) in links.iter().enumerate() {
            link_details(out, number, link)?;
        }
    }
    Ok(())
}

fn link_row(number: usize, link: &Link) -> Vec<String> {
    let (identity, geometry) = (link.layer.identity(), link.layer.geometry());
    let name = link
        .path
        .file_name()
        .map_or_else(|| link.path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let log = link.log.and_then(|log| serde_json::to_value(log).ok());
    let log = log.and_then(|log| log.as_str().map(ToOwned::to_owned)).unwrap_or_else(|| "-".to_owned());
    vec![
        number.to_string(),
        escape(&name),
        identity.kind.as_str().to_owned(),
        size(geometry.virtual_size),
        size(link.file_size),
        identity.data_write_guid.map_or_else(|| "-".to_owned(), short),
        log,
        link.found.describe().to_owned(),
    ]
}

/// The first group of a GUID: enough to tell the links of one chain apart.
fn short(guid: Guid) -> String {
    guid.to_string().chars().take_while(|c| *c != '-').collect()
}

fn link_details(out: &mut impl Write, number: usize, link: &Link) -> io::Result<()> {
    let (identity, geometry) = (link.layer.identity(), link.layer.geometry());
    writeln!(out, "{BOLD}link {number}{BOLD:#}  {}", escape(&link.path.display().to_string()))?;
    let guid = |guid: Option<Guid>| guid.map(|guid| guid.to_string());
    let mut lines = vec![
        ("made by", identity.creator.clone()),
        ("block size", (geometry.block_size > 0).then(|| size(geometry.block_size.into()))),
        ("DataWriteGuid", guid(identity.data_write_guid)),
        ("FileWriteGuid", guid(identity.file_write_guid)),
        ("disk id", guid(identity.disk_id)),
    ];
    if let Some(parent) = &identity.parent {
        lines.push(("parent_linkage", guid(parent.linkage)));
        lines.push(("parent_linkage2", guid(parent.linkage2)));
        lines.extend(parent.places.iter().map(|place| ("recorded parent", Some(place.path.clone()))));
    }
    for (name, value) in lines {
        if let Some(value) = value {
            writeln!(out, "  {DIM}{name:<16}{DIM:#} {}", escape(&value))?;
        }
    }
    Ok(())
}

fn volumes(out: &mut impl Write, inventory: &Inventory) -> io::Result<()> {
    let scheme = match (inventory.scheme, inventory.volumes.is_empty()) {
        (Scheme::Gpt, false) => "GPT",
        (Scheme::Gpt, true) => "GPT, and no partition of it can be told: disk.raw holds the disk",
        (Scheme::Mbr, _) => "MBR",
        (Scheme::None, _) => "no partition table: the whole disk is volume 1",
        (Scheme::Unknown, _) => {
            "cannot be told: the first sector of the disk is lost or doubtful; disk.raw holds the rest"
        }
    };
    writeln!(out, "\n{BOLD}volumes{BOLD:#}  {scheme}")?;
    if inventory.volumes.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let heads = ["volume", "type", "size", "at byte", "file system", "label"];
    table(out, &heads, inventory.volumes.iter().map(volume_row).collect())
}

fn volume_row(volume: &Volume) -> Vec<String> {
    let partition = &volume.partition;
    let info = volume.tree.as_ref().map(|tree| tree.info());
    let label = info.as_ref().map(|info| info.label.to_string_lossy()).unwrap_or_default();
    let version = info.and_then(|info| info.version).map(|(major, minor)| format!(" {major}.{minor}"));
    let file_system = match (volume.file_system, &volume.tree) {
        (Some(name), Some(_)) => format!("{name}{}", version.unwrap_or_default()),
        (Some(name), None) => format!("{name} (raw only)"),
        (None, _) if volume.missing_files().is_some_and(|why| why.code == Code::FileSystemLost) => {
            "cannot be told (raw only)".to_owned()
        }
        (None, _) => "unknown (raw only)".to_owned(),
    };
    vec![
        partition.number.to_string(),
        partition.kind.describe(),
        size(partition.disk.end.saturating_sub(partition.disk.start)),
        partition.disk.start.to_string(),
        file_system,
        escape(&label),
    ]
}

/// Findings, in the order given; `none` is what there is to say where there are none.
pub(super) fn findings(out: &mut impl Write, findings: &[&Finding], none: &str) -> io::Result<()> {
    let none = if findings.is_empty() { format!("  {none}") } else { String::new() };
    writeln!(out, "\n{BOLD}findings{BOLD:#}{none}")?;
    for finding in findings {
        let (word, style) = severity(finding.severity);
        for (number, line) in finding_lines(finding).iter().enumerate() {
            match number {
                0 => writeln!(out, "  {style}{word:<8}{style:#} {line}")?,
                _ => writeln!(out, "           {line}")?,
            }
        }
    }
    Ok(())
}

/// Shortens the names of images in the second column where a table is wider than its terminal, as Hyper-V's names make it: what
/// they begin and end with stays. `--verbose` has them whole.
fn shorten_images(heads: &[&str], rows: &mut [Vec<String>], columns: usize) {
    const IMAGE: usize = 1;
    const LEAST: usize = 16;
    let widths = widths(heads, rows);
    let all: usize = widths.iter().map(|width| width.saturating_add(2)).sum();
    let widest = widths.get(IMAGE).copied().unwrap_or(0);
    let room = widest.saturating_sub(all.saturating_sub(columns)).max(LEAST);
    let names: Vec<&String> = rows.iter().filter_map(|row| row.get(IMAGE)).collect();
    let short: Vec<String> = names.iter().map(|name| shortened(name, room)).collect();
    let different = |names: &mut dyn Iterator<Item = &String>| names.collect::<BTreeSet<_>>().len();
    // Two that would look alike tell nothing.
    if different(&mut short.iter()) == different(&mut names.into_iter()) {
        rows.iter_mut().filter_map(|row| row.get_mut(IMAGE)).zip(short).for_each(|(name, short)| *name = short);
    }
}

/// A text of at most `room` characters, with `…` in place of its middle where it has more.
fn shortened(text: &str, room: usize) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let end = room / 2;
    let start = room.saturating_sub(end).saturating_sub(1);
    let begins = text.chars().take(start);
    begins.chain(['…']).chain(text.chars().skip(length.saturating_sub(end))).collect()
}

/// Characters of the widest cell of each column.
fn widths(heads: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heads.get(column).map(|head| head.len())).max().unwrap_or(0)
    };
    (0..heads.len()).map(width).collect()
}

/// Columns as wide as their widest cell.
pub(super) fn table(out: &mut impl Write, heads: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
    let widths = widths(heads, &rows);
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "  {DIM}{}{DIM:#}", line(heads.iter().map(ToString::to_string).collect()))?;
    for row in rows {
        writeln!(out, "  {}", line(row))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shortened_to_its_room_in_characters() {
        assert_eq!(shortened("Größe.vhdx", 10), "Größe.vhdx");
        assert_eq!(shortened("Größe.vhdx", 9), "Größ…vhdx");
        assert_eq!(shortened("Größe.vhdx", 4), "G…dx");
    }

    /// Two columns of a table, the second one shortened to a terminal of so many columns.
    fn images(names: [&str; 2], columns: usize) -> [String; 2] {
        let mut rows: Vec<Vec<String>> = names.map(|name| vec!["0".to_owned(), name.to_owned()]).into();
        shorten_images(&["link", "image"], &mut rows, columns);
        [rows[0][1].clone(), rows[1][1].clone()]
    }

    #[test]
    fn names_of_images_are_shortened_as_far_as_the_terminal_asks_and_they_stay_apart() {
        let long = ["VM_0A1B2C3D-1111-2222-3333-444444444444.avhdx", "base.vhdx"];
        // Each column has two blanks behind it.
        assert_eq!(images(long, 6 + 45 + 2), long);
        assert_eq!(images(long, 6 + 44 + 2)[0].chars().count(), 44);
        assert_eq!(images(long, 10)[0], "VM_0A1B…44.avhdx", "no less than 16 characters");
        assert_eq!(images(long, 10)[1], "base.vhdx");
        let alike = ["VM_0A1B2C3D-1111-2222-3333-444444444444.avhdx", "VM_0A1B2C3D-9999-2222-3333-444444444444.avhdx"];
        assert_eq!(images(alike, 10), alike);
    }
}

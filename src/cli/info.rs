//! `vhdx-mount info`: the chain as a table, the findings, the volumes.

use anstream::println;
use vhdx_mount::bytes::Guid;
use vhdx_mount::chain::Link;
use vhdx_mount::namespace::{Inventory, Volume, report};
use vhdx_mount::volume::Scheme;

use super::args::{InfoArgs, Verbosity};
use super::chain;
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::say::{BOLD, DIM, finding_lines, severity};
use super::units::size;

/// Opens the chain and describes it.
pub(crate) fn run(args: &InfoArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let inventory = chain::take_inventory(&args.chain, &args.how)?;
    if args.json {
        let json = serde_json::to_string_pretty(&report(&inventory)).unwrap_or_default();
        println!("{json}");
        return Ok(Outcome::Well);
    }
    links(&inventory, verbosity);
    volumes(&inventory);
    findings(&inventory);
    Ok(Outcome::Well)
}

fn links(inventory: &Inventory, verbosity: &Verbosity) {
    let links = inventory.chain.links();
    let disk = inventory.chain.disk().geometry();
    let count = if links.len() == 1 { "1 link".to_owned() } else { format!("{} links", links.len()) };
    println!(
        "{BOLD}disk{BOLD:#}  {} in {count}, logical sectors of {} bytes",
        size(disk.virtual_size),
        disk.logical_sector_size
    );
    println!();
    let rows = links.iter().enumerate().map(|(number, link)| link_row(number, link));
    table(&["link", "image", "kind", "disk", "in file", "identity", "log", "found by"], rows.collect());
    if verbosity.verbose > 0 {
        println!();
        for (number, link) in links.iter().enumerate() {
            link_details(number, link);
        }
    }
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

fn link_details(number: usize, link: &Link) {
    let identity = link.layer.identity();
    println!("{BOLD}link {number}{BOLD:#}  {}", escape(&link.path.display().to_string()));
    let line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            println!("  {DIM}{name:<16}{DIM:#} {}", escape(&value));
        }
    };
    line("made by", identity.creator.clone());
    line("block size", (link.layer.geometry().block_size > 0).then(|| size(link.layer.geometry().block_size.into())));
    line("DataWriteGuid", identity.data_write_guid.map(|guid| guid.to_string()));
    line("FileWriteGuid", identity.file_write_guid.map(|guid| guid.to_string()));
    line("disk id", identity.disk_id.map(|guid| guid.to_string()));
    let Some(parent) = &identity.parent else { return };
    line("parent_linkage", parent.linkage.map(|guid| guid.to_string()));
    line("parent_linkage2", parent.linkage2.map(|guid| guid.to_string()));
    for place in &parent.places {
        line("recorded parent", Some(place.path.clone()));
    }
}

fn volumes(inventory: &Inventory) {
    println!();
    let scheme = match inventory.scheme {
        Scheme::Gpt => "GPT",
        Scheme::Mbr => "MBR",
        Scheme::None => "no partition table: the whole disk is volume 1",
    };
    println!("{BOLD}volumes{BOLD:#}  {scheme}");
    if inventory.volumes.is_empty() {
        return;
    }
    println!();
    table(
        &["volume", "type", "size", "at byte", "file system", "label"],
        inventory.volumes.iter().map(volume_row).collect(),
    );
}

fn volume_row(volume: &Volume) -> Vec<String> {
    let partition = &volume.partition;
    let label = volume.tree.as_ref().map(|tree| tree.info().label.to_string_lossy()).unwrap_or_default();
    let file_system = match (volume.file_system, &volume.tree) {
        (Some(name), Some(_)) => name.to_owned(),
        (Some(name), None) => format!("{name} (raw only)"),
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

fn findings(inventory: &Inventory) {
    let mut findings: Vec<_> = inventory.all_findings().collect();
    println!();
    if findings.is_empty() {
        println!("{BOLD}findings{BOLD:#}  none");
        return;
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    println!("{BOLD}findings{BOLD:#}");
    for finding in findings {
        let (word, style) = severity(finding.severity);
        for (number, line) in finding_lines(finding).iter().enumerate() {
            match number {
                0 => println!("  {style}{word:<8}{style:#} {line}"),
                _ => println!("           {line}"),
            }
        }
    }
}

/// Columns as wide as their widest cell.
fn table(heads: &[&str], rows: Vec<Vec<String>>) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heads.get(column).map(|head| head.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    println!("  {DIM}{}{DIM:#}", line(heads.iter().map(ToString::to_string).collect()));
    for row in rows {
        println!("  {}", line(row));
    }
}

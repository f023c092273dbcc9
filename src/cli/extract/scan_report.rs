//! What `vhdx-mount scan --json` printed: which chains there are.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vhdx_mount::scan::SCHEMA;

use super::input;
use crate::cli::args::{ChainArgs, MissingArg};
use crate::cli::escape::escape;
use crate::cli::outcome::Failure;

/// What a scan told.
pub(super) struct ScanReport {
    /// Whether everything could be read, so that no chain can be missing.
    pub(super) complete: bool,
    pub(super) folders: Vec<PathBuf>,
    pub(super) chains: Vec<ScannedChain>,
    /// What it could not read, besides images of these chains.
    pub(super) unreadable: Vec<Unreadable>,
}

/// A file or folder that a scan could not read.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Unreadable {
    pub(super) path: String,
    /// Why, in words.
    pub(super) reason: String,
}

/// A chain that a scan told of.
pub(super) struct ScannedChain {
    pub(super) youngest: PathBuf,
    /// The parents that must be named.
    parents: Vec<PathBuf>,
    state: State,
}

/// Whether a chain can be opened as it is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Complete,
    /// A backup left it behind.
    Leftover,
    /// Its base is missing, or another parent.
    NoBase,
    /// One of its images cannot be opened.
    Unopenable(String),
    /// Its parents lead round in a circle, or never end.
    Endless,
}

#[derive(Deserialize)]
struct Report {
    schema: u32,
    complete: bool,
    folders: Vec<PathBuf>,
    images: Vec<Image>,
    chains: Vec<Chain>,
    #[serde(default)]
    unreadable: Vec<Unreadable>,
}

#[derive(Deserialize)]
struct Image {
    path: String,
    path_bytes: Option<Vec<u8>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Chain {
    leftover: bool,
    ending: String,
    links: Vec<Link>,
    parents_to_name: Vec<String>,
}

#[derive(Deserialize)]
struct Link {
    image: usize,
}

/// Reads what a scan printed, from a file, or with `-` from the standard input.
pub(super) fn read(from: &Path) -> Result<ScanReport, Failure> {
    let text = input::read(from).map_err(|error| Failure::new(format!("{}: {error}", from.display())))?;
    parse(&text).map_err(|why| {
        let advice = "make it with `vhdx-mount scan DIR --json > FILE`";
        Failure::usage(format!("{}: {why}", from.display())).advise(advice)
    })
}

fn parse(text: &[u8]) -> Result<ScanReport, String> {
    let mut report: Report = serde_json::from_slice(text).map_err(|error| format!("no report of a scan: {error}"))?;
    if report.schema != SCHEMA {
        return Err(format!("a report of schema {}; {SCHEMA} is what this version reads", report.schema));
    }
    let chains = report.chains.iter().map(|chain| chain_of(chain, &report.images)).collect::<Result<_, _>>()?;
    // Those in a chain are told with it.
    let in_chain: HashSet<usize> = report.chains.iter().flat_map(|chain| &chain.links).map(|link| link.image).collect();
    let others = report.images.iter().enumerate().filter(|(number, _)| !in_chain.contains(number));
    let others =
        others.filter_map(|(_, image)| Some(Unreadable { path: image.path.clone(), reason: image.error.clone()? }));
    report.unreadable.extend(others);
    Ok(ScanReport { complete: report.complete, folders: report.folders, chains, unreadable: report.unreadable })
}

fn chain_of(chain: &Chain, images: &[Image]) -> Result<ScannedChain, String> {
    let links: Option<Vec<&Image>> = chain.links.iter().map(|link| images.get(link.image)).collect();
    let links = links.filter(|links| !links.is_empty()).ok_or("a chain of images that the report does not have")?;
    let parents = chain.parents_to_name.iter();
    // Text may not hold a path: then its image has the bytes.
    let parents =
        parents.map(|parent| images.iter().find(|image| image.path == *parent).map_or(Ok(parent.into()), path));
    let error = links.iter().find_map(|image| Some(format!("{}: {}", image.path, image.error.as_ref()?)));
    let state = match (chain.ending.as_str(), error) {
        (_, Some(error)) => State::Unopenable(error),
        ("missing", None) => State::NoBase,
        ("base", None) if chain.leftover => State::Leftover,
        ("base", None) => State::Complete,
        (_, None) => State::Endless,
    };
    let youngest = links.first().map_or_else(|| Ok(PathBuf::new()), |image| path(image))?;
    Ok(ScannedChain { youngest, parents: parents.collect::<Result<_, _>>()?, state })
}

fn path(image: &Image) -> Result<PathBuf, String> {
    let Some(bytes) = &image.path_bytes else { return Ok(PathBuf::from(&image.path)) };
    of_bytes(bytes).map(PathBuf::from).ok_or_else(|| format!("{}: no path of this system", image.path))
}

#[cfg(unix)]
fn of_bytes(bytes: &[u8]) -> Option<OsString> {
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec()))
}

#[cfg(not(unix))]
fn of_bytes(_: &[u8]) -> Option<OsString> {
    None
}

impl ScannedChain {
    /// How to open it.
    pub(super) fn how(&self, given: &ChainArgs) -> ChainArgs {
        let mut how = given.clone();
        how.parent.extend(self.parents.iter().cloned());
        how
    }

    /// Why it is left out, unless a switch takes it; and whether it is missed so.
    pub(super) fn left_out(&self, how: &ChainArgs, leftovers: bool) -> Option<LeftOut> {
        let missed = |why: String| Some(LeftOut { why, is_missed: true });
        match &self.state {
            State::Complete => None,
            State::Leftover if leftovers => None,
            State::Leftover => {
                Some(LeftOut { why: "a backup left it behind; --leftovers takes it".to_owned(), is_missed: false })
            }
            State::NoBase if how.missing == MissingArg::Lost || how.allow_mismatch => None,
            State::NoBase => missed("its base is missing; --missing lost takes what is there".to_owned()),
            State::Unopenable(_) if how.serves_doubt() => None,
            State::Unopenable(error) => missed(format!("{}; --accept-doubtful tries it", escape(error))),
            State::Endless => missed("its parents lead round in a circle, or never end".to_owned()),
        }
    }
}

/// Why a chain is left out.
pub(super) struct LeftOut {
    pub(super) why: String,
    /// Whether somebody who wants everything misses it.
    pub(super) is_missed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(ending: &str, leftover: bool, error: Option<&str>) -> State {
        let image = Image { path: "/v/a.vhdx".to_owned(), path_bytes: None, error: error.map(str::to_owned) };
        let chain =
            Chain { leftover, ending: ending.to_owned(), links: vec![Link { image: 0 }], parents_to_name: Vec::new() };
        chain_of(&chain, &[image]).unwrap().state
    }

    #[test]
    fn chains_are_what_the_scan_told() {
        assert_eq!(chain("base", false, None), State::Complete);
        assert_eq!(chain("base", true, None), State::Leftover);
        assert_eq!(chain("missing", true, None), State::NoBase);
        assert_eq!(chain("cycle", false, None), State::Endless);
        assert_eq!(chain("base", false, Some("torn")), State::Unopenable("/v/a.vhdx: torn".to_owned()));
    }

    #[test]
    fn what_could_not_be_read_is_known_once() {
        let text = r#"{"schema":1,"complete":false,"folders":[],
            "images":[{"path":"/v/a","path_bytes":null,"error":"torn"},{"path":"/v/b","path_bytes":null,"error":"circle"}],
            "chains":[{"leftover":false,"ending":"base","links":[{"image":0}],"parents_to_name":[]}],
            "unreadable":[{"path":"/v/c","reason":"gone"}]}"#;
        let told = parse(text.as_bytes()).unwrap().unreadable;
        let told: Vec<_> = told.iter().map(|one| (one.path.as_str(), one.reason.as_str())).collect();
        assert_eq!(told, [("/v/c", "gone"), ("/v/b", "circle")]);
    }

    #[test]
    fn nothing_else_is_a_report() {
        assert!(parse(b"").is_err() && parse(b"[]").is_err());
        let report = |schema, image| {
            let text = format!(
                r#"{{"schema":{schema},"complete":true,"folders":[],"images":[],
                "chains":[{{"leftover":false,"ending":"base","links":[{image}],"parents_to_name":[]}}]}}"#
            );
            parse(text.as_bytes()).err().unwrap_or_default()
        };
        assert!(report(2, "").contains("schema 2"));
        assert!(report(1, r#"{"image":0}"#).contains("does not have") && report(1, "").contains("does not have"));
    }
}

//! Whether this run may go on with what an earlier one wrote.

use serde::Deserialize;
use vhdx_mount::extract::{MANIFEST, Reading, Sink};
use vhdx_mount::namespace::Inventory;

use super::ExtractArgs;
use super::lists::Written;
use super::run_record::{NAME, place};
use crate::cli::args::ChainArgs;
use crate::cli::escape::escape;
use crate::cli::outcome::Failure;
use crate::cli::reading;

/// What is read of an earlier record.
#[derive(Deserialize)]
struct EarlierRun {
    reading: Reading,
    #[serde(default)]
    lists: Vec<Written>,
}

/// What this run reads and how, with all that makes what it leaves alone or writes another.
pub(super) fn reading_of(inventory: &Inventory, how: &ChainArgs, args: &ExtractArgs) -> Result<Reading, Failure> {
    let mut reading = reading::of(&inventory.chain, how)?;
    if args.lost.is_some() {
        reading.ask("--lost zero");
    }
    if args.files.raw_encrypted {
        reading.ask("--raw-encrypted");
    }
    if let Some(number) = args.choice.volume {
        reading.ask(format!("--volume {number}"));
    }
    let hashes: Vec<_> = args.hashes().into_iter().map(|hash| hash.as_str()).collect();
    reading.ask(format!("--hash {}", if hashes.is_empty() { "none".to_owned() } else { hashes.join(",") }));
    Ok(reading)
}

/// Sees that an earlier run, if there was one, read the same in the same way: else what it wrote whole would be called so of what
/// this one reads. Gives the lists that it wrote.
pub(super) fn of_same(sink: &Sink, reading: &Reading) -> Result<Vec<Written>, Failure> {
    let refused = |why: String| {
        Err(Failure::usage(why).advise(
            "go on with the same images and the same switches, or choose an empty folder for what is read otherwise",
        ))
    };
    if !sink.has(NAME) {
        if sink.has_content(MANIFEST) {
            return refused(format!("{}: it is not there, so what the earlier run read is not known", place(sink)));
        }
        return Ok(Vec::new());
    }
    let earlier = sink.read_back(NAME).ok().and_then(|file| serde_json::from_reader::<_, EarlierRun>(file).ok());
    let Some(earlier) = earlier else {
        return refused(format!("{}: it does not tell what an earlier run read", place(sink)));
    };
    match reading.difference(&earlier.reading) {
        Some(difference) => {
            refused(format!("{}: the earlier run cannot be gone on with: {}", place(sink), escape(&difference)))
        }
        None => Ok(earlier.lists),
    }
}

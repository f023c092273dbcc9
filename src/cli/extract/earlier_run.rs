//! Whether this run may go on with what an earlier one wrote.

use serde::Deserialize;
use serde_json::{Map, Value};
use vhdx_mount::extract::{Choice, MANIFEST, Reading, Sink, timestamp};
use vhdx_mount::namespace::Inventory;

use super::ExtractArgs;
use super::lists::Written;
use super::run_record::{NAME, place};
use crate::cli::args::ChainArgs;
use crate::cli::escape::escape;
use crate::cli::outcome::Failure;
use crate::cli::reading;

/// What is read of an earlier record; the default one of none.
#[derive(Default, Deserialize)]
pub(super) struct EarlierRun {
    #[serde(default)]
    pub(super) lists: Vec<Written>,
    /// The runs before it.
    #[serde(default)]
    earlier_runs: Vec<Value>,
    /// All else of it.
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// What is kept of each run when another one goes on with its work.
const KEPT: [&str; 8] = ["version", "command_line", "started", "ended", "complete", "images", "sha256_after", "totals"];

impl EarlierRun {
    /// The runs that were gone on with, and what is kept of each.
    pub(super) fn sessions(&self) -> Vec<Value> {
        let kept = KEPT.into_iter().filter_map(|name| Some((name.to_owned(), self.fields.get(name)?.clone())));
        let last = Some(Value::Object(kept.collect())).filter(|_| !self.fields.is_empty());
        self.earlier_runs.iter().cloned().chain(last).collect()
    }
}

/// What this run reads and how, with all that makes what it leaves alone or writes another.
pub(super) fn reading_of(
    inventory: &Inventory,
    how: &ChainArgs,
    args: &ExtractArgs,
    choice: &Choice,
) -> Result<Reading, Failure> {
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
    ask_choice(&mut reading, args, choice)?;
    reading.ask(format!("--hash {}", if hashes.is_empty() { "none".to_owned() } else { hashes.join(",") }));
    Ok(reading)
}

/// What is wanted. What goes first may be another.
fn ask_choice(reading: &mut Reading, args: &ExtractArgs, choice: &Choice) -> Result<(), Failure> {
    for pattern in args.patterns()? {
        reading.ask(format!("{pattern:?}"));
    }
    if let Some(listed) = &choice.listed {
        reading.ask(format!("--from-file of SHA-256 {}", listed.fingerprint()));
    }
    for (asked, switch) in [(args.streams, "--streams"), (args.links, "--links"), (args.files.deleted, "--deleted")] {
        if asked {
            reading.ask(switch);
        }
    }
    for (name, time) in [("--newer", choice.newer), ("--older", choice.older)] {
        if let Some(time) = time.and_then(timestamp) {
            reading.ask(format!("{name} {time}"));
        }
    }
    if let Some(size) = choice.max_size {
        reading.ask(format!("--max-size {size}"));
    }
    Ok(())
}

/// Sees that an earlier run, if there was one, read the same in the same way: else what it wrote whole would be called so of what
/// this one reads, and that it wanted the same: else the manifest would tell of neither. Gives its record.
pub(super) fn of_same(sink: &Sink, reading: &Reading) -> Result<EarlierRun, Failure> {
    let refused = |why: String| {
        Err(Failure::usage(why).advise(
            "go on with the same images, patterns and switches, or choose an empty folder for what is wanted or read otherwise",
        ))
    };
    if !sink.has(NAME) {
        if sink.has_content(MANIFEST) {
            return refused(format!("{}: it is not there, so what the earlier run read is not known", place(sink)));
        }
        return Ok(EarlierRun::default());
    }
    let earlier = sink.read_back(NAME).ok().and_then(|file| serde_json::from_reader::<_, EarlierRun>(file).ok());
    let read = |earlier: EarlierRun| {
        let reading: Reading = serde_json::from_value(earlier.fields.get("reading")?.clone()).ok()?;
        Some((earlier, reading))
    };
    let Some((earlier, then)) = earlier.and_then(read) else {
        return refused(format!("{}: it does not tell what an earlier run read", place(sink)));
    };
    match reading.difference(&then) {
        Some(difference) => {
            refused(format!("{}: the earlier run cannot be gone on with: {}", place(sink), escape(&difference)))
        }
        None => Ok(earlier),
    }
}

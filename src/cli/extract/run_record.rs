//! `run.json`: which program extracted what, from which images, when, and what it came to.

use std::path::PathBuf;

use mount_api::Time;
use serde_json::{Map, Value, json};
use vhdx_mount::extract::sink::gone;
use vhdx_mount::extract::{Extracted, MANIFEST, Progress, Reading, Sink, Verdict, hash_image, timestamp};
use vhdx_mount::image::{HostFolders, ImageStore};
use vhdx_mount::namespace::{Inventory, report};

use super::args::ExtractArgs;
use super::earlier_run::EarlierRun;
use super::lists::Written;
use crate::cli::chain::time_of;
use crate::cli::escape::escape;
use crate::cli::outcome::Failure;
use crate::cli::say::{self, YELLOW};

/// Its name in the destination.
pub(super) const NAME: &str = "run.json";

/// The record of a run, written when it begins and again when it ends.
pub(super) struct RunRecord {
    fields: Map<String, Value>,
    /// The hash of each image before the run; empty where they were not asked for.
    hashes: Vec<(PathBuf, String)>,
    /// Whether the storage is to have all before the run is called complete.
    sync: bool,
}

impl RunRecord {
    /// Writes down how a run begins. A run that never ends leaves it so.
    pub(super) fn begin(
        sink: &Sink,
        inventory: &Inventory,
        reading: &Reading,
        earlier: &EarlierRun,
        args: &ExtractArgs,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        if !args.resume && sink.has(NAME) && !sink.has(MANIFEST) {
            return Err(Failure::usage(format!("{}: the file exists already", place(sink)))
                .advise("choose an empty folder: the record of this run is to stand there"));
        }
        let hashes = if args.hash_images { hash_images(inventory, progress)? } else { None };
        let hashes = hashes.unwrap_or_default();
        let images = inventory.chain.links().iter().enumerate().map(|(number, link)| {
            json!({
                "path": link.path.display().to_string(),
                "size": link.file_size,
                "modified": timestamp(time_of(&link.path)),
                "sha256": hashes.get(number).map(|(_, hash)| hash),
            })
        });
        let command_line: Vec<String> =
            std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let fields = [
            ("schema", json!(1)),
            ("program", json!(env!("CARGO_PKG_NAME"))),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("command_line", json!(command_line)),
            ("started", json!(now())),
            ("ended", Value::Null),
            ("complete", json!(false)),
            ("synced", json!(false)),
            ("reading", json!(reading)),
            ("images", images.collect()),
            ("lists", json!(earlier.lists)),
            ("earlier_runs", json!(earlier.sessions())),
            ("report", report(inventory)),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let record = RunRecord { fields, hashes, sync: args.sync };
        // Only a run that may write its manifest writes this; a folder that holds an earlier run is left alone.
        if args.resume || !sink.has(MANIFEST) {
            record.write(sink)?;
        }
        Ok(record)
    }

    /// Compares the images with what they were before, where that was asked for. Gives one whose hash has changed meanwhile.
    pub(super) fn compare_images(
        &mut self,
        inventory: &Inventory,
        progress: &Progress,
        extracted: &mut Extracted,
    ) -> Result<Option<PathBuf>, Failure> {
        if self.hashes.is_empty() {
            return Ok(None);
        }
        let Some(after) = hash_images(inventory, progress)? else {
            // It is not known whether they are the same.
            extracted.stopped = true;
            return Ok(None);
        };
        let changed = self.hashes.iter().zip(&after).find(|(a, b)| a.1 != b.1).map(|(before, _)| before.0.clone());
        let hashes: Vec<_> = after.into_iter().map(|(_, hash)| hash).collect();
        self.set("sha256_after", json!(hashes));
        Ok(changed)
    }

    /// Writes down how it ended: the last that a run writes.
    pub(super) fn end(&mut self, sink: &Sink, progress: &Progress, extracted: &Extracted) -> Result<(), Failure> {
        let counts = Verdict::ALL.into_iter().map(|verdict| (verdict.as_str(), progress.count(verdict)));
        let more = [("bytes_read", progress.bytes()), ("times_not_set", extracted.untimed.places.count)];
        let totals = counts.chain(more).map(|(name, count)| (name.to_owned(), json!(count))).collect();
        if self.sync && !extracted.stopped {
            log::info!("what was written is brought to the storage");
            let synced = sink.sync().map_err(|error| gone(sink.path(), error))?;
            if !synced {
                say::tell!(
                    "{YELLOW}--sync{YELLOW:#}: this destination cannot be asked whether its storage has all that was written"
                );
            }
            self.set("synced", json!(synced));
        }
        self.set("ended", json!(now()));
        self.set("complete", json!(!extracted.stopped));
        self.set("totals", Value::Object(totals));
        self.write(sink)
    }

    /// Keeps which lists were made.
    pub(super) fn tell_lists(&mut self, lists: &[Written]) {
        if !lists.is_empty() {
            self.set("lists", json!(lists));
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    fn write(&self, sink: &Sink) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(&self.fields).unwrap_or_default();
        text.push(b'\n');
        sink.put(NAME, &text).map_err(|error| Failure::new(format!("{}: {error}", place(sink))))
    }
}

/// Where it stands, for people.
pub(super) fn place(sink: &Sink) -> String {
    escape(&sink.path().join(NAME).display().to_string())
}

/// The hash of each image; `None` where it was stopped.
fn hash_images(inventory: &Inventory, progress: &Progress) -> Result<Option<Vec<(PathBuf, String)>>, Failure> {
    let links = inventory.chain.links().iter();
    links
        .map(|link| {
            let image = HostFolders.open_named(&link.path)?.image;
            let hash = hash_image(&*image, progress).map_err(|error| error.in_file(&link.path))?;
            Ok(hash.map(|hash| (link.path.clone(), hash)))
        })
        .collect()
}

fn now() -> Option<String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    timestamp(Time::from_unix(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()))
}

//! `run.json`: which program extracted what, from which images, when, and what it came to.

use std::path::PathBuf;

use mount_api::Time;
use serde_json::{Map, Value, json};
use vhdx_mount::extract::sink::gone;
use vhdx_mount::extract::{Extracted, MANIFEST, Progress, Reading, Sink, Verdict, hash_image, timestamp};
use vhdx_mount::image::{HostFolders, ImageStore};
use vhdx_mount::namespace::{Inventory, report};

use super::args::ExtractArgs;
use super::lists::Written;
use crate::cli::chain::time_of;
use crate::cli::escape::escape;
use crate::cli::outcome::Failure;

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
        lists: &[Written],
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
            ("lists", json!(lists)),
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

    /// Writes down how it ended. Gives an image whose hash has changed meanwhile.
    pub(super) fn end(
        &mut self,
        sink: &Sink,
        inventory: &Inventory,
        progress: &Progress,
        extracted: &mut Extracted,
    ) -> Result<Option<PathBuf>, Failure> {
        let mut changed = None;
        if !self.hashes.is_empty() {
            let Some(after) = hash_images(inventory, progress)? else {
                // It is not known whether they are the same.
                extracted.stopped = true;
                return self.finish(sink, progress, extracted).map(|()| None);
            };
            changed = self.hashes.iter().zip(&after).find(|(a, b)| a.1 != b.1).map(|(before, _)| before.0.clone());
            let hashes: Vec<_> = after.into_iter().map(|(_, hash)| hash).collect();
            self.fields.insert("sha256_after".to_owned(), json!(hashes));
        }
        self.finish(sink, progress, extracted)?;
        Ok(changed)
    }

    fn finish(&mut self, sink: &Sink, progress: &Progress, extracted: &Extracted) -> Result<(), Failure> {
        let totals: Map<String, Value> = Verdict::ALL
            .iter()
            .map(|verdict| (verdict.as_str().to_owned(), json!(progress.count(*verdict))))
            .chain([("bytes_read".to_owned(), json!(progress.bytes()))])
            .collect();
        if self.sync && !extracted.stopped {
            log::info!("what was written is brought to the storage");
            sink.sync().map_err(|error| gone(sink.path(), error))?;
            self.fields.insert("synced".to_owned(), json!(true));
        }
        self.fields.insert("ended".to_owned(), json!(now()));
        self.fields.insert("complete".to_owned(), json!(!extracted.stopped));
        self.fields.insert("totals".to_owned(), Value::Object(totals));
        self.write(sink)
    }

    /// Writes down which lists were made.
    pub(super) fn tell_lists(&mut self, sink: &Sink, lists: &[Written]) -> Result<(), Failure> {
        if lists.is_empty() {
            return Ok(());
        }
        self.fields.insert("lists".to_owned(), json!(lists));
        self.write(sink)
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

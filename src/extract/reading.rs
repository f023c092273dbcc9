//! What is read, and how. A run that goes on with the work of an earlier one leaves alone what that one wrote whole: so it must
//! read the same images in the same way.

use std::path::Path;

use mount_api::Time;
use serde::{Deserialize, Serialize};

use super::last_change::last_change;
use super::utc::timestamp;
use crate::chain::Link;

/// What a run reads, and how; its record keeps it from before the first file on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The images, the youngest first.
    links: Vec<ReadLink>,
    /// What was asked for that changes what is read, what of it is called whole, or what is told of it: each as it could be typed.
    switches: Vec<String>,
}

/// An image as it was read. Its folder does not count: it may have been moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ReadLink {
    name: String,
    /// Its identity, where its format has one.
    data_write_guid: Option<String>,
    size: u64,
    /// When it was last changed; `None` where the host does not say, and of devices, which do not tell.
    modified: Option<String>,
    /// Why all of it is doubtful.
    doubt: Option<String>,
}

impl Reading {
    /// That of the links of a chain, with what was asked for.
    #[must_use]
    pub fn of(links: &[Link], switches: Vec<String>) -> Self {
        let links = links.iter().map(|link| ReadLink {
            name: link.path.file_name().unwrap_or(link.path.as_os_str()).to_string_lossy().into_owned(),
            data_write_guid: link.layer.identity().data_write_guid.map(|guid| guid.to_string()),
            size: link.file_size,
            modified: modified(&link.path).and_then(timestamp),
            doubt: link.doubt.map(|code| code.as_str().to_owned()),
        });
        Reading { links: links.collect(), switches }
    }

    /// Adds something that was asked for.
    pub fn ask(&mut self, switch: impl Into<String>) {
        self.switches.push(switch.into());
    }

    /// What sets it apart from an earlier one, in a sentence; `None` where what that one found whole is whole still.
    #[must_use]
    pub fn difference(&self, earlier: &Self) -> Option<String> {
        let links = self.links.iter().zip(&earlier.links).find_map(|(now, then)| now.difference(then));
        links.or_else(|| self.other_count(earlier)).or_else(|| self.other_switches(earlier))
    }

    fn other_count(&self, earlier: &Self) -> Option<String> {
        let (now, then) = (self.links.len(), earlier.links.len());
        (now != then).then(|| format!("the chain had {then} images, and has {now} now"))
    }

    fn other_switches(&self, earlier: &Self) -> Option<String> {
        if self.switches == earlier.switches {
            return None;
        }
        let lacks = |one: &Self, other: &Self| {
            let missing = one.switches.iter().filter(|switch| !other.switches.contains(switch));
            missing.cloned().collect::<Vec<_>>().join(" ")
        };
        let (then, now) = (lacks(earlier, self), lacks(self, earlier));
        Some(match (then.as_str(), now.as_str()) {
            ("", "") => "its switches stood in another order".to_owned(),
            (_, "") => format!("it was done with {then}"),
            ("", _) => format!("it was done without {now}"),
            _ => format!("it was done with {then}, and not with {now}"),
        })
    }
}

impl ReadLink {
    fn difference(&self, then: &Self) -> Option<String> {
        let ReadLink { name, data_write_guid, size, modified, doubt } = then;
        let known = |time: &Option<String>| time.clone().unwrap_or_else(|| "not known".to_owned());
        // Without an identity a file has nothing but its name.
        if self.data_write_guid != *data_write_guid || data_write_guid.is_none() && self.name != *name {
            return Some(format!("it read {name} where {} is read now", self.described(then)));
        }
        if self.size != *size {
            return Some(format!("{} had {size} bytes, and has {} now", self.name, self.size));
        }
        if self.modified != *modified {
            let (then, now) = (known(modified), known(&self.modified));
            return Some(format!("{} was changed since: its time of last change was {then}, and is {now}", self.name));
        }
        let trusted = |doubt: &Option<String>| doubt.clone().unwrap_or_else(|| "proven".to_owned());
        (self.doubt != *doubt)
            .then(|| format!("{} was {} in its place, and is {} now", self.name, trusted(doubt), trusted(&self.doubt)))
    }

    /// Its name; where another image bore that, its identity too.
    fn described(&self, other: &Self) -> String {
        match &self.data_write_guid {
            Some(guid) if self.name == other.name => format!("another {} ({guid})", self.name),
            _ => self.name.clone(),
        }
    }
}

/// When a file was last changed; devices do not tell.
fn modified(path: &Path) -> Option<Time> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).as_ref().and_then(last_change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, guid: Option<&str>) -> ReadLink {
        let data_write_guid = guid.map(ToOwned::to_owned);
        ReadLink { name: name.to_owned(), data_write_guid, size: 4, modified: Some("then".to_owned()), doubt: None }
    }

    fn reading(links: &[ReadLink], switches: &[&str]) -> Reading {
        Reading { links: links.to_vec(), switches: switches.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn what_differs_is_named() {
        let (a, b) = (link("a", Some("1")), link("b", Some("2")));
        let one = reading(&[a.clone(), b.clone()], &["--lost zero"]);
        assert_eq!(one.difference(&one), None);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), one);
        let differs = |other: &Reading| one.difference(other).unwrap();
        assert!(differs(&reading(&[b.clone(), b.clone()], &["--lost zero"])).contains("b where a"));
        assert!(differs(&reading(std::slice::from_ref(&a), &["--lost zero"])).contains("1 images, and has 2"));
        assert_eq!(differs(&reading(&[a.clone(), b.clone()], &[])), "it was done without --lost zero");
        assert_eq!(
            differs(&reading(&[a.clone(), b.clone()], &["--map x"])),
            "it was done with --map x, and not with --lost zero"
        );
        let changed = [
            (ReadLink { size: 5, ..b.clone() }, "b had 5 bytes, and has 4 now"),
            (ReadLink { modified: None, ..b.clone() }, "was not known, and is then"),
            (ReadLink { doubt: Some("link-unproven".to_owned()), ..b.clone() }, "was link-unproven in its place"),
            (ReadLink { data_write_guid: Some("3".to_owned()), ..b }, "where another b (2) is read now"),
        ];
        for (then, word) in changed {
            let said = differs(&reading(&[a.clone(), then], &["--lost zero"]));
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn an_image_may_be_called_otherwise_where_it_says_who_it_is() {
        let then = reading(&[link("a", Some("1"))], &[]);
        assert_eq!(reading(&[link("b", Some("1"))], &[]).difference(&then), None);
        let then = reading(&[link("a", None)], &[]);
        assert!(reading(&[link("b", None)], &[]).difference(&then).is_some());
    }
}

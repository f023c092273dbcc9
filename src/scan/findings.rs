//! What is unusual about a chain, in the vocabulary of all reports.

use std::path::Path;

use super::{Beside, Ending, Kin, Role, Scan, ScannedChain, Unreadable};
use crate::chain::beside::{self, name_some};
use crate::chain::{DIGITS, Found, LinkProof, MAX_LINKS, digits_alike};
use crate::layer::ParentRecord;
use crate::report::{Code, Finding, Severity, quoted};

impl Scan {
    /// What is unusual about a chain: its links, how it ends, what lies beside it. What was found inside the images is told
    /// with each of them.
    #[must_use]
    pub fn findings(&self, chain: &ScannedChain) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (position, link) in (0u32..).zip(&chain.links) {
            findings.extend(
                self.link_findings(*link).into_iter().map(|finding| Finding { link: Some(position), ..finding }),
            );
        }
        let position = u32::try_from(chain.links.len().saturating_sub(1)).ok();
        findings.extend(self.ending_finding(chain).map(|finding| Finding { link: position, ..finding }));
        findings.extend(self.machine_findings(chain));
        findings
    }

    /// What is unusual about one image among the others: copies, its parent's place, a leftover's name.
    #[must_use]
    pub fn link_findings(&self, image: usize) -> Vec<Finding> {
        let of_link = self.of_link(image).into_iter();
        of_link.map(|finding| Finding { file: Some(self.path_of(image)), ..finding }).collect()
    }

    /// Why a chain has no base.
    #[must_use]
    pub fn ending_finding(&self, chain: &ScannedChain) -> Option<Finding> {
        let last = *chain.links.last()?;
        let finding = self.of_ending(chain.ending, last)?;
        Some(Finding { file: Some(self.path_of(last)), ..finding })
    }

    fn of_link(&self, link: usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (Some(image), Some(kin)) = (self.images.get(link), self.kin.get(link)) else { return findings };
        if image.identity.parent.is_some() && beside::is_named_by_a_backup(&image.path) {
            findings.push(self.named_by_a_backup(kin));
        }
        let copies = name_some(self.copies(link).filter_map(|copy| self.path(copy)));
        if !copies.is_empty() {
            let text = format!("has the same identity as {copies}");
            let advice = "compare them: a copy may have been made at another time, or cut short";
            findings.push(Finding::new(Code::IdentityShared, Severity::Warning, text).advise(advice));
        }
        let Some((parent, record)) = kin.parent.as_ref().zip(image.identity.parent.as_ref()) else { return findings };
        if !matches!(parent.standing.found(record), Found::Recorded(_)) {
            let recorded: Vec<_> = record.places.iter().map(|place| place.path.as_str()).collect();
            let text = "its parent is not where it says";
            let finding = Finding::new(Code::ParentElsewhere, Severity::Information, text);
            findings.push(finding.versus(recorded.join(" or "), self.path_of(parent.image)));
        }
        findings.extend(self.skipped(link, record, parent).map(|skipped| self.skips(parent.image, skipped)));
        if parent.proof == LinkProof::Linkage2 {
            let text =
                "a merge of this image into its parent had begun: other children of that parent no longer fit it";
            findings.push(Finding::new(Code::ParentMidMerge, Severity::Warning, text));
        }
        findings
    }

    /// What the name of a child that a backup made is worth.
    fn named_by_a_backup(&self, kin: &Kin) -> Finding {
        let parent = kin.parent.as_ref().map(|parent| self.path_of(parent.image));
        let (text, advice) = match (kin.role, parent) {
            (Role::Leftover, Some(parent)) => (
                "by its name a backup made this file and did not remove it: it is not the machine's newest state",
                format!("its parent is {parent}; open the youngest image that was made over it"),
            ),
            (Role::Youngest, Some(parent)) => (
                "by its name a backup made this file, and nothing else was made over its parent: which of the two is the newest state is not known",
                format!(
                    "open both, this one and {parent}, and compare them; the machine's configuration says on which it ran"
                ),
            ),
            _ => (
                "by its name a backup made this file: what it holds may not be what the machine ran on",
                "the machine's configuration says on which image it ran".to_owned(),
            ),
        };
        Finding::new(Code::BackupLeftover, Severity::Warning, text).advise(advice)
    }

    /// A link is left out: see [`Code::ParentSkipsLink`].
    fn skips(&self, parent: usize, skipped: usize) -> Finding {
        let as_word = |image| self.path(image).map(quoted).unwrap_or_default();
        let advice = format!(
            "--parent {} says that this one is right, --parent {} --allow-mismatch that the other one is",
            as_word(parent),
            as_word(skipped)
        );
        let (parent, skipped) = (self.path_of(parent), self.path_of(skipped));
        let text = format!(
            "its parent is {parent} by the identity that it records, and {skipped} by the paths, which is itself a child of that one: if it was left out wrongly, what it holds is missing"
        );
        Finding::new(Code::ParentSkipsLink, Severity::Error, text).advise(advice)
    }

    fn of_ending(&self, ending: Ending, last: usize) -> Option<Finding> {
        match ending {
            Ending::Base => None,
            Ending::Missing => Some(self.missing(last)),
            Ending::Cycle => {
                let parent = self.kin.get(last).and_then(|kin| kin.parent.as_ref())?;
                let text =
                    format!("its parent is {}, a link of this same chain: it has no base", self.path_of(parent.image));
                let advice = "one of these files was overwritten by a copy of another: look for the real parent";
                Some(Finding::new(Code::ChainCycle, Severity::Error, text).advise(advice))
            }
            Ending::TooDeep => {
                let text = format!("the chain has more than {MAX_LINKS} links, which no disk has");
                let advice = "open one of its older images by itself: that shows the disk as it was then";
                Some(Finding::new(Code::LinkMissing, Severity::Error, text).advise(advice))
            }
        }
    }

    fn missing(&self, child: usize) -> Finding {
        let record = self.missing_parent(child);
        let linkage = record.and_then(|record| record.linkage);
        let linkage2 = record.and_then(|record| record.linkage2);
        let wanted = [linkage, linkage2].into_iter().flatten().map(|guid| guid.to_string()).collect::<Vec<_>>();
        let places = record.map(|record| record.places.iter().map(|place| place.path.as_str()).collect::<Vec<_>>());
        let places = places.unwrap_or_default();
        let expected = match (wanted.is_empty(), places.is_empty()) {
            (true, _) => "it does not say which".to_owned(),
            (false, true) => format!("DataWriteGuid {}", wanted.join(" or ")),
            (false, false) => format!("DataWriteGuid {}, recorded at {}", wanted.join(" or "), places.join(" or ")),
        };
        let namesakes = self.namesakes(child);
        let says =
            |image: &usize| self.images.get(*image).is_some_and(|image| image.identity.data_write_guid.is_some());
        let (others, silent): (Vec<_>, Vec<_>) = namesakes.into_iter().partition(says);
        let named = |images: &[usize]| name_some(images.iter().filter_map(|image| self.path(*image)));
        let unreadable: Vec<&Unreadable> = self.unreadable_namesakes(child).collect();
        let mut found = Vec::new();
        if !silent.is_empty() {
            found.push(format!("of that name, and it has lost its identity: {}", named(&silent)));
        }
        if !others.is_empty() {
            found.push(format!("of that name, with another identity: {}", named(&others)));
        }
        found.extend(unreadable.iter().map(|one| format!("of that name, {}: {}", one.path.display(), one.reason)));
        let near = record.and_then(|record| self.near_identity(record, &others));
        let advice = if let Some(near) = &near {
            near.as_str()
        } else if !silent.is_empty() {
            "where it is that one, opening the child with --allow-mismatch takes it; `info` on the child weighs what there is"
        } else if !unreadable.is_empty() {
            "see to that file first: `info` on it says what to do"
        } else if !others.is_empty() {
            "an image of that name was written to after the child was made, or is another: look for an older copy; `info` on the child weighs what there is"
        } else {
            "look for it elsewhere and scan that folder too, or open with --parent-dir DIR; --missing lost shows what these images hold"
        };
        let found = if found.is_empty() { "no image of that name either".to_owned() } else { found.join("; ") };
        let text = "its parent is not among these images";
        Finding::new(Code::LinkMissing, Severity::Error, text).versus(expected, found).advise(advice)
    }

    /// What to do where one of the images has nearly the identity that a child records.
    fn near_identity(&self, record: &ParentRecord, images: &[usize]) -> Option<String> {
        let alike = |image: &usize| digits_alike(record, self.images.get(*image)?.identity.data_write_guid?);
        let (alike, image) = images.iter().filter_map(|image| Some((alike(image)?, *image))).max()?;
        Some(format!(
            "what the child records is damaged, for {alike} of its {DIGITS} digits are those of {}: opening the child with --allow-mismatch takes that one; `info` on the child weighs what there is",
            self.path_of(image)
        ))
    }

    /// Saved states and replica logs in the folders of the machines whose disks these are.
    #[must_use]
    pub fn machine_findings(&self, chain: &ScannedChain) -> Vec<Finding> {
        let links = chain.links.iter().filter_map(|link| self.images.get(*link));
        let mut folders: Vec<&Path> = links.map(|image| beside::machine_folder(&image.path)).collect();
        folders.sort_unstable();
        folders.dedup();
        let here: Vec<&Beside> = folders.iter().flat_map(|folder| self.beside_machine(folder)).collect();
        beside::machine_findings(&here)
    }

    fn path(&self, image: usize) -> Option<&Path> {
        self.images.get(image).map(|image| image.path.as_path())
    }

    fn path_of(&self, image: usize) -> String {
        self.path(image).map(|path| path.display().to_string()).unwrap_or_default()
    }
}

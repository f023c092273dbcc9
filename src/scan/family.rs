//! Who is whose parent, by identity alone.

use std::collections::{BTreeMap, BTreeSet};

use super::ScannedImage;
use super::places::{Asked, Standing, names};
use crate::bytes::Guid;
use crate::chain::{LinkProof, beside, judge};
use crate::layer::Identity;

/// How an image hangs together with the others. Numbers are those of the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kin {
    /// Its parent, where that is among the images.
    pub parent: Option<FoundParent>,
    /// The images whose parent it is.
    pub children: Vec<usize>,
    /// What part it has in a chain.
    pub role: Role,
    /// Whether its parents lead back to it.
    pub in_cycle: bool,
}

/// The parent of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundParent {
    /// Its number.
    pub image: usize,
    /// What proves it.
    pub proof: LinkProof,
    /// Where it stands, compared with what the child records.
    pub standing: Standing,
}

/// What part an image has in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// No image is its child, but for leftovers of backups: the one to open.
    Youngest,
    /// Another image is its child.
    Older,
    /// Images are children of its identity, and all of them have another file of that identity for their parent.
    Copy,
    /// A backup made it, by its name, and beside what else was made over its parent: not the newest state, though nothing is
    /// its child.
    Leftover,
}

/// The images that bear each identity.
pub(super) type Bearers = BTreeMap<Guid, Vec<usize>>;

/// Finds parents, children and parts.
pub(super) fn find(images: &[ScannedImage], bearers: &Bearers) -> Vec<Kin> {
    let parents = parents(images, bearers);
    let superseded = superseded(images, bearers);
    let mut kin: Vec<Kin> = Vec::new();
    for (parent, in_cycle) in parents.iter().zip(cycles(&parents)) {
        kin.push(Kin { parent: parent.clone(), children: Vec::new(), role: Role::Youngest, in_cycle });
    }
    for (child, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent.as_ref().and_then(|parent| kin.get_mut(parent.image)) {
            parent.children.push(child);
        }
    }
    let leftovers = leftovers(images, &kin);
    for (number, (image, kin)) in images.iter().zip(&mut kin).enumerate() {
        let is_superseded = image.identity.data_write_guid.is_some_and(|guid| superseded.contains(&guid));
        kin.role = match is_superseded {
            false if leftovers.contains(&number) => Role::Leftover,
            false => Role::Youngest,
            true if kin.children.is_empty() => Role::Copy,
            true => Role::Older,
        };
    }
    kin
}

/// Finds which images bear each identity. Zeros are none: a file that never got one is not told from any other such file.
pub(super) fn bearers(images: &[ScannedImage]) -> Bearers {
    let mut bearers = Bearers::new();
    for (number, image) in images.iter().enumerate() {
        if let Some(guid) = image.identity.data_write_guid.filter(|guid| !guid.is_zero()) {
            bearers.entry(guid).or_default().push(number);
        }
    }
    bearers
}

/// The identities that a child names.
fn wanted(identity: &Identity) -> impl Iterator<Item = Guid> + '_ {
    let named = identity.parent.iter().flat_map(|record| [record.linkage, record.linkage2]).flatten();
    named.filter(|guid| !guid.is_zero())
}

/// The parent of each image: of those that are proven, the one that opening the child comes upon first.
fn parents(images: &[ScannedImage], bearers: &Bearers) -> Vec<Option<FoundParent>> {
    let names: Vec<_> = images.iter().map(names).collect();
    let parent_of = |child: &ScannedImage| {
        let record = child.identity.parent.as_ref()?;
        let asked = Asked::new(&child.path, record);
        let candidates = wanted(&child.identity).filter_map(|guid| bearers.get(&guid)).flatten();
        let proven = candidates.filter_map(|number| {
            let proof = judge(record, images.get(*number)?.identity.data_write_guid?)?;
            Some(FoundParent { image: *number, proof, standing: asked.standing(names.get(*number)?) })
        });
        // Images are sorted by path, and so is the folder that is looked through for want of a better way.
        let is_misspelt = |number: usize| images.get(number).is_some_and(|image| asked.is_spelt_otherwise(image));
        proven.min_by_key(|parent| (parent.standing, is_misspelt(parent.image), parent.image))
    };
    images.iter().map(parent_of).collect()
}

/// The identities that have a child which no backup made, by its name.
fn lasting_parents(images: &[ScannedImage]) -> impl Iterator<Item = Guid> + '_ {
    let lasting = images.iter().filter(|image| !beside::is_named_by_a_backup(&image.path));
    lasting.flat_map(|image| wanted(&image.identity))
}

/// What backups left, and not only by its name: over the same parent the machine went on with another image. With what was
/// made over such a leftover and bears such a name.
fn leftovers(images: &[ScannedImage], kin: &[Kin]) -> BTreeSet<usize> {
    let went_on: BTreeSet<Guid> = lasting_parents(images).collect();
    let guid = |image: usize| images.get(image)?.identity.data_write_guid;
    let is_beside = |kin: &Kin| {
        let parent = kin.parent.as_ref().and_then(|parent| guid(parent.image));
        parent.is_some_and(|parent| went_on.contains(&parent))
    };
    let is_named = |image: &usize| images.get(*image).is_some_and(|image| beside::is_named_by_a_backup(&image.path));
    let of_one = kin.iter().enumerate().filter(|(_, kin)| is_beside(kin)).map(|(image, _)| image);
    let mut open: Vec<usize> = of_one.filter(is_named).collect();
    let mut leftovers = BTreeSet::new();
    while let Some(image) = open.pop() {
        if leftovers.insert(image) {
            let children = kin.get(image).into_iter().flat_map(|kin| &kin.children);
            open.extend(children.copied().filter(is_named));
        }
    }
    leftovers
}

/// The identities that have a child, or a child's child, that no backup made, by its name. What bears such a name makes no
/// parent an older state: the machine may have gone on with the parent.
fn superseded(images: &[ScannedImage], bearers: &Bearers) -> BTreeSet<Guid> {
    let mut open: Vec<Guid> = lasting_parents(images).collect();
    let mut superseded = BTreeSet::new();
    while let Some(guid) = open.pop() {
        if superseded.insert(guid) {
            let same = bearers.get(&guid).into_iter().flatten().filter_map(|number| images.get(*number));
            open.extend(same.flat_map(|image| wanted(&image.identity)));
        }
    }
    superseded
}

/// Which images are links of a cycle.
fn cycles(parents: &[Option<FoundParent>]) -> Vec<bool> {
    let mut in_cycle = vec![false; parents.len()];
    // The walk on which each image was first met.
    let mut met: Vec<Option<usize>> = vec![None; parents.len()];
    let parent = |image: usize| parents.get(image)?.as_ref().map(|parent| parent.image);
    for start in 0..parents.len() {
        let mut at = Some(start);
        while let Some(image) = at
            && let Some(walk @ None) = met.get_mut(image)
        {
            *walk = Some(start);
            at = parent(image);
        }
        // Back on an image of this same walk: from there it goes round.
        while let Some(image) = at.filter(|image| met.get(*image) == Some(&Some(start)))
            && let Some(known @ false) = in_cycle.get_mut(image)
        {
            *known = true;
            at = parent(image);
        }
    }
    in_cycle
}

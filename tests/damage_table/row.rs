//! One row of the table: a damage, and what each command makes of it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use fixtures::chain::{Chain, Model};
use fixtures::damage::Damage;
use fixtures::fill::Fill;
use fixtures::host_file::HostFile;
use fixtures::vhdx::bat::PayloadState;
use fixtures::vhdx::{Block, Image, MIB};

/// Bytes of the disk of every row, and of a block.
pub(crate) const SIZE: u64 = 6 * MIB;
pub(crate) const BLOCK: u64 = MIB;

/// Sectors of block 0 that the youngest link holds; the others are the base's.
pub(crate) const PRESENT: [Range<u64>; 3] = [0..7, 100..1000, 2047..2048];

/// The links of the forged chain.
pub(crate) const BASE: usize = 0;
pub(crate) const MIDDLE: usize = 1;
pub(crate) const YOUNGEST: usize = 2;

/// Three links: the base is full; the middle one holds block 3; the youngest holds parts of block 0, all of block 1, and
/// says that block 2 is zeros.
pub(crate) fn images() -> Vec<Image> {
    let base = Image::fixed(SIZE, BLOCK as u32, &Fill::live(0));
    let mut middle = Image::child_of(&base, "base.vhdx");
    middle.block_size = BLOCK as u32;
    middle.blocks.insert(3, Block::fully_present(Fill::live(1)));
    let mut youngest = Image::child_of(&middle, "x_1.avhdx");
    youngest.block_size = BLOCK as u32;
    youngest.blocks.insert(0, Block::partially_present(PRESENT.to_vec(), Fill::live(2), Fill::stale(2)));
    youngest.blocks.insert(1, Block::fully_present(Fill::live(2)));
    youngest.blocks.insert(2, Block::absent(PayloadState::ZERO));
    vec![base, middle, youngest]
}

/// A written chain, to be damaged.
pub(crate) struct Forged {
    pub(crate) folder: PathBuf,
    pub(crate) chain: Chain,
}

impl Forged {
    pub(crate) fn file(&self, link: usize) -> HostFile {
        HostFile::open(&self.chain.files[link]).expect("the image opens")
    }

    pub(crate) fn apply(&self, link: usize, damage: &Damage) {
        damage.apply(&mut self.file(link), &self.chain.places[link]);
    }

    pub(crate) fn path(&self, link: usize) -> &Path {
        &self.chain.files[link]
    }
}

/// What becomes of a damaged chain.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) images: fn() -> Vec<Image>,
    pub(crate) spoil: Box<dyn Fn(&Forged)>,
    /// Given to every command but `scan`.
    pub(crate) switches: &'static [&'static str],
    /// Exit codes of `info`, `ls`, `check`, `scan`.
    pub(crate) exits: [i32; 4],
    /// A word of the refusal; no other column counts then but `exits`.
    pub(crate) refused: Option<&'static str>,
    /// What is found in the images, in any order: by `info`, `check` and the mount.
    pub(crate) codes: &'static [&'static str],
    /// Bytes of the disk, in order.
    pub(crate) lost: Vec<(Range<u64>, &'static str)>,
    pub(crate) doubtful: Vec<(Range<u64>, &'static str)>,
    /// Doubtful bytes are served by the mount, for a switch says so.
    pub(crate) served: bool,
    /// The link whose disk it is; the older ones are as forged.
    pub(crate) model: fn(&Chain) -> Model,
}

/// A damage that costs nothing and is told by nobody, until the columns say otherwise.
pub(crate) fn row(name: impl Into<String>, spoil: impl Fn(&Forged) + 'static) -> Row {
    Row {
        name: name.into(),
        images,
        spoil: Box::new(spoil),
        switches: &[],
        exits: [0; 4],
        refused: None,
        codes: &[],
        lost: Vec::new(),
        doubtful: Vec::new(),
        served: false,
        model: |chain| chain.model.clone(),
    }
}

/// The same for a named damage to a link.
pub(crate) fn damaged(link: usize, damage: Damage) -> Row {
    row(format!("{damage:?} of link {link}"), move |forged| forged.apply(link, &damage))
}

impl Row {
    pub(crate) fn exits(mut self, info: i32, ls: i32, check: i32, scan: i32) -> Self {
        self.exits = [info, ls, check, scan];
        self
    }

    pub(crate) fn refused(mut self, word: &'static str) -> Self {
        self.refused = Some(word);
        self
    }

    pub(crate) fn codes(mut self, codes: &'static [&'static str]) -> Self {
        self.codes = codes;
        self
    }

    pub(crate) fn lost(mut self, range: Range<u64>, code: &'static str) -> Self {
        self.lost.push((range, code));
        self
    }

    pub(crate) fn doubtful(mut self, range: Range<u64>, code: &'static str) -> Self {
        self.doubtful.push((range, code));
        self
    }

    /// The sectors of block 0 that the youngest link holds are lost.
    pub(crate) fn lost_present(self, code: &'static str) -> Self {
        PRESENT.iter().fold(self, |row, sectors| row.lost(sectors.start * 512..sectors.end * 512, code))
    }

    /// Those that it does not hold are lost.
    pub(crate) fn lost_between(self, code: &'static str) -> Self {
        between().into_iter().fold(self, |row, range| row.lost(range, code))
    }

    pub(crate) fn doubtful_between(self, code: &'static str) -> Self {
        between().into_iter().fold(self, |row, range| row.doubtful(range, code))
    }

    pub(crate) fn switches(mut self, switches: &'static [&'static str]) -> Self {
        self.switches = switches;
        self
    }

    pub(crate) fn served(mut self) -> Self {
        self.served = true;
        self
    }

    pub(crate) fn images(mut self, images: fn() -> Vec<Image>) -> Self {
        self.images = images;
        self
    }

    pub(crate) fn model(mut self, model: fn(&Chain) -> Model) -> Self {
        self.model = model;
        self
    }
}

/// The sectors of block 0 that the youngest link does not hold, in bytes.
pub(crate) fn between() -> Vec<Range<u64>> {
    [7..100, 1000..2047].map(|sectors: Range<u64>| sectors.start * 512..sectors.end * 512).to_vec()
}

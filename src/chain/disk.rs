//! The merged disk: what a machine would see, read from all links at once.

use std::ops::Range;
use std::sync::Arc;

use super::map::{self, MergedExtent, MergedSource};
use super::window_cache::{Run, WINDOW, Window, WindowCache, runs};
use crate::bytes::len_u64;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{ReadAt, lose_tail};
use crate::layer::{Extent, Geometry, Layer, Source, Trust};
use crate::report::Code;
use crate::{Fault, FaultKind, Faults};

/// What becomes of bytes that are there, but that nothing proves to belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doubt {
    /// They fail like lost ones.
    #[default]
    Refuse,
    /// They are served, and marked.
    Accept,
}

/// One link of the merged disk.
pub struct DiskLink {
    /// The image's map.
    pub layer: Arc<dyn Layer>,
    /// Why all that comes from this link and below is doubtful, if it is.
    pub doubt: Option<Code>,
}

impl DiskLink {
    /// A link whose place in the chain is proven.
    #[must_use]
    pub fn proven(layer: Arc<dyn Layer>) -> Self {
        DiskLink { layer, doubt: None }
    }
}

/// The merged disk.
///
/// Nothing is resolved until it is read; what was resolved is kept in a bounded cache. So opening costs the same for any
/// size and depth, and so does memory.
pub struct Disk {
    links: Vec<DiskLink>,
    geometry: Geometry,
    doubt: Doubt,
    /// Why what no link decides is lost; `None` where the last link is a base, which decides everything.
    below: Option<Code>,
    windows: WindowCache,
}

impl Disk {
    /// The disk that the links make, the youngest first. Its size is that of the first link. `below` is why what falls
    /// through the last link is lost, where that is no base.
    ///
    /// # Errors
    /// Where there is no link.
    pub fn new(links: Vec<DiskLink>, doubt: Doubt, below: Option<Code>) -> Result<Self> {
        let geometry = match links.first() {
            Some(first) => *first.layer.geometry(),
            None => return Err(Error::new(ErrorKind::Usage, "a disk needs at least one image")),
        };
        Ok(Disk { links, geometry, doubt, below, windows: WindowCache::new() })
    }

    /// The same disk over other maps of the same links. Nothing that was resolved is kept.
    pub(super) fn over(&self, layers: impl Iterator<Item = Arc<dyn Layer>>) -> Self {
        let links = self.links.iter().zip(layers).map(|(link, layer)| DiskLink { layer, doubt: link.doubt }).collect();
        let Disk { geometry, doubt, below, .. } = *self;
        Disk { links, geometry, doubt, below, windows: WindowCache::new() }
    }

    /// Sizes of disk, blocks and sectors: those of the opened link.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether bytes that are doubtful for this reason fail like lost ones. An unproven link is in the chain only because
    /// the user allowed it.
    #[must_use]
    pub fn refuses(&self, doubt: Code) -> bool {
        self.doubt == Doubt::Refuse && doubt != Code::LinkUnproven
    }

    /// Which link holds which bytes of `disk`: extents that tile it, in order. Costs what reading the tables of that range
    /// costs; ask for a few MiB at a time.
    ///
    /// # Errors
    /// When `disk` leaves the disk.
    pub fn map(&self, disk: Range<u64>) -> Result<Vec<MergedExtent>> {
        map::resolve(&self.links, disk, self.below)
    }

    /// Reads `buf` from `into` bytes after the start of an extent that [`Disk::map`] returned; all of it lies in the extent.
    /// For those who read what they have mapped, and nothing else.
    pub fn read_extent(&self, extent: &MergedExtent, into: u64, buf: &mut [u8], faults: &mut Faults) {
        let link = u16::try_from(extent.link).unwrap_or(u16::MAX);
        let run = Run { start: 0, link, doubt: extent.doubt, source: extent.source };
        self.read_run(&run, extent.disk.start.saturating_add(into), into, buf, faults);
    }

    fn window(&self, number: u64) -> Result<Arc<Window>> {
        if let Some(window) = self.windows.get(number) {
            return Ok(window);
        }
        // Resolved without a lock: a slow image keeps nobody else waiting. Two readers may resolve one window twice.
        let start = number.saturating_mul(WINDOW);
        let end = start.saturating_add(WINDOW).min(self.geometry.virtual_size);
        let losses_met = || self.links.iter().map(|link| link.layer.losses_met()).fold(0, u64::wrapping_add);
        let before = losses_met();
        let window = runs(start, &map::resolve(&self.links, start..end, self.below)?);
        // What could not be read of tables may be had later, when the storage has recovered.
        if losses_met() == before {
            self.windows.put(number, Arc::clone(&window));
        }
        Ok(window)
    }

    /// Reads the part of a window that `buf` wants from `within` bytes after the window's start on.
    fn read_window(&self, number: u64, within: u64, buf: &mut [u8], faults: &mut Faults) -> Result<()> {
        let window = self.window(number)?;
        let start = number.saturating_mul(WINDOW);
        let mut at = within;
        let mut rest = buf;
        let first = window.partition_point(|run| u64::from(run.start) <= within).saturating_sub(1);
        let mut runs = window.get(first..).unwrap_or_default().iter().peekable();
        while let Some(run) = runs.next()
            && !rest.is_empty()
        {
            let run_end = runs.peek().map_or(WINDOW, |next| u64::from(next.start));
            let count = usize::try_from(run_end.saturating_sub(at)).unwrap_or(usize::MAX).min(rest.len());
            let Some((piece, behind)) = rest.split_at_mut_checked(count) else { break };
            self.read_run(run, start.saturating_add(at), at.saturating_sub(u64::from(run.start)), piece, faults);
            (at, rest) = (run_end, behind);
        }
        Ok(())
    }

    /// Reads `buf` at `disk_offset`, which is `into` bytes after the start of the run that holds all of it.
    fn read_run(&self, run: &Run, disk_offset: u64, into: u64, buf: &mut [u8], faults: &mut Faults) {
        let disk = disk_offset..disk_offset.saturating_add(len_u64(buf));
        let link = Some(u32::from(run.link));
        let refused = run.doubt.filter(|code| self.refuses(*code));
        let lost = match run.source {
            MergedSource::Lost(code) => Some(code),
            _ => refused,
        };
        if let Some(code) = lost {
            buf.fill(0);
            faults.push(Fault { range: disk, kind: FaultKind::Lost, code: code.as_str(), link });
            return;
        }
        match run.source {
            MergedSource::Data { file_offset } => {
                let source = Source::Data { file_offset: file_offset.saturating_add(into) };
                let extent = Extent { disk: disk.clone(), source, trust: Trust::Proven };
                self.read_data(run.link, &extent, buf, faults);
            }
            MergedSource::Zero | MergedSource::Lost(_) => buf.fill(0),
        }
        if let Some(code) = run.doubt {
            faults.push(Fault { range: disk, kind: FaultKind::Doubtful, code: code.as_str(), link });
        }
    }

    fn read_data(&self, link: u16, extent: &Extent, buf: &mut [u8], faults: &mut Faults) {
        let mut below = Faults::new();
        let layer = self.links.get(usize::from(link)).map(|link| &link.layer);
        let read = layer.map(|layer| layer.read_data(extent, buf, &mut below));
        if let Some(Err(error)) = &read {
            log::debug!("{error}");
        }
        if !matches!(read, Some(Ok(()))) {
            buf.fill(0);
            below.clear();
            below.lost(extent.disk.clone(), Code::HostReadError.as_str());
        }
        for fault in &below {
            let fault = Fault { link: Some(u32::from(link)), ..fault.clone() };
            faults.push(match fault.kind {
                FaultKind::Doubtful if self.doubt == Doubt::Refuse => fault.refused(extent.disk.start, buf),
                _ => fault,
            });
        }
    }
}

impl ReadAt for Disk {
    fn size(&self) -> u64 {
        self.geometry.virtual_size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let there = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let mut at = offset;
        let (mut rest, _) = buf.split_at_mut_checked(there).unwrap_or_default();
        while !rest.is_empty() {
            let number = at.checked_div(WINDOW).unwrap_or(0);
            let within = at.checked_rem(WINDOW).unwrap_or(0);
            let count = usize::try_from(WINDOW.saturating_sub(within)).unwrap_or(usize::MAX).min(rest.len());
            let Some((piece, behind)) = rest.split_at_mut_checked(count) else { break };
            self.read_window(number, within, piece, faults)?;
            at = at.saturating_add(len_u64(piece));
            rest = behind;
        }
        lose_tail(buf, there, offset, Code::ReadPastEnd, faults);
        Ok(())
    }
}

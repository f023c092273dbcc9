use std::ops::Range;

/// One range of a read that did not come back as proven bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Bytes, counted from the start of what was read (the node, the volume, the disk, the image).
    pub range: Range<u64>,
    /// Lost or doubtful.
    pub kind: FaultKind,
    /// The kebab-case code of the finding that explains it. Codes never change.
    pub code: &'static str,
    /// Which link of the chain it comes from, counted from the opened (youngest) one at 0; `None` where no link is known.
    pub link: Option<u32>,
}

/// How bad a [`Fault`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The bytes were served, but nothing proves that they belong here.
    Doubtful,
    /// The bytes are not known; the buffer holds zeros in their place.
    Lost,
}

/// What a program that reads through a mount gets for lost bytes. The [`Faults`] of a read name them either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum LostReads {
    /// The read fails.
    #[default]
    Fail,
    /// Zeros stand for them: for programs that give up at the first error, and only where the user asked for it.
    Zeros,
}

/// The lost and doubtful ranges that a read met, collected on the way up.
///
/// Adjacent faults of the same kind, code and link become one, so a wholly lost gigabyte is one entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Fault {
    /// The same bytes as lost ones. Zeros stand for them in `buf`, which holds the bytes from `offset` on.
    #[must_use]
    pub fn refused(self, offset: u64, buf: &mut [u8]) -> Self {
        let within = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let place = within(self.range.start)..within(self.range.end);
        buf.get_mut(place).unwrap_or_default().fill(0);
        Fault { kind: FaultKind::Lost, ..self }
    }
}

impl Faults {
    /// No faults. Does not allocate.
    #[must_use]
    pub const fn new() -> Self {
        Faults { list: Vec::new() }
    }

    /// Adds one; an empty range adds nothing.
    pub fn push(&mut self, fault: Fault) {
        if fault.range.is_empty() {
            return;
        }
        if let Some(last) = self.list.last_mut()
            && last.range.end == fault.range.start
            && (last.kind, last.code, last.link) == (fault.kind, fault.code, fault.link)
        {
            last.range.end = fault.range.end;
            return;
        }
        self.list.push(fault);
    }

    /// Adds a lost range that no link is known for.
    pub fn lost(&mut self, range: Range<u64>, code: &'static str) {
        self.push(Fault { range, kind: FaultKind::Lost, code, link: None });
    }

    /// Adds a doubtful range that no link is known for.
    pub fn doubtful(&mut self, range: Range<u64>, code: &'static str) {
        self.push(Fault { range, kind: FaultKind::Doubtful, code, link: None });
    }

    /// Takes over the faults of a read one level below, which began there at `from` and stands here at `to`.
    /// Whatever does not fit into 64 bits is cut at the end of the number range.
    pub fn append_moved(&mut self, below: Faults, from: u64, to: u64) {
        for fault in below.list {
            let start = fault.range.start.saturating_sub(from).saturating_add(to);
            let end = fault.range.end.saturating_sub(from).saturating_add(to);
            self.push(Fault { range: start..end, ..fault });
        }
    }

    /// Whether all bytes are proven.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether any byte is lost.
    #[must_use]
    pub fn any_lost(&self) -> bool {
        self.list.iter().any(|fault| fault.kind == FaultKind::Lost)
    }

    /// The worst of all faults: `None` when all bytes are proven.
    #[must_use]
    pub fn worst(&self) -> Option<&Fault> {
        self.list.iter().max_by_key(|fault| fault.kind)
    }

    /// All of them, in the order in which they were met.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }

    /// Forgets all of them and keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_kind_become_one() {
        let mut faults = Faults::new();
        faults.lost(0..512, "a");
        faults.lost(512..1024, "a");
        faults.doubtful(1024..2048, "a");
        faults.lost(4096..4096, "a");
        let ranges: Vec<_> = faults.iter().map(|f| (f.range.clone(), f.kind)).collect();
        assert_eq!(ranges, [(0..1024, FaultKind::Lost), (1024..2048, FaultKind::Doubtful)]);
        assert!(faults.any_lost());
        assert_eq!(faults.worst().map(|f| f.kind), Some(FaultKind::Lost));
    }

    #[test]
    fn a_read_below_is_moved_to_where_it_stands_here() {
        let mut below = Faults::new();
        below.lost(1000..1010, "a");
        let mut here = Faults::new();
        here.append_moved(below, 900, 5);
        assert_eq!(here.iter().next().map(|f| f.range.clone()), Some(105..115));
    }
}

//! One read of a compressed file.

use std::ops::Range;
use std::sync::Arc;

use mount_api::{Error, Fault, FaultKind, Faults};

use super::super::losses::Holds;
use super::super::to_usize;
use super::super::unit::Unit;
use super::super::volume::Volume;
use super::Wof;
use super::chunk_table::{Place, broken};
use crate::bytes::len_u64;
use crate::report::Code;

/// Bytes of compressed chunks that are read at once, where more than one is wanted.
const AHEAD: u64 = 256 << 10;

/// One read of a compressed file, and the part of the compressed stream that it has at hand.
pub(super) struct Reading<'a> {
    wof: &'a Wof,
    volume: &'a Volume,
    /// Where the read ends in the content.
    end: u64,
    /// Where `input` begins in the compressed stream.
    input_start: u64,
    input: Vec<u8>,
    /// The faults of `input`, counted from the start of the compressed stream.
    input_faults: Faults,
    /// The host's first refusal.
    refused: Option<Error>,
    /// Whether anything was known without the host, or given by it.
    answered: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(wof: &'a Wof, volume: &'a Volume) -> Self {
        Reading {
            wof,
            volume,
            end: 0,
            input_start: 0,
            input: Vec::new(),
            input_faults: Faults::new(),
            refused: None,
            answered: false,
        }
    }

    /// Reads bytes of the content, chunk by chunk.
    ///
    /// # Errors
    /// When the host refused all that was asked of it.
    pub(super) fn read(mut self, mut buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<(), Error> {
        self.end = offset.saturating_add(len_u64(buf));
        let mut at = offset;
        while at < self.end {
            let number = self.wof.number(at);
            let part = at..self.wof.range(number).end.min(self.end);
            let length = to_usize(part.end.saturating_sub(at));
            let split = std::mem::take(&mut buf).split_at_mut_checked(length).filter(|_| length > 0);
            let Some((to, rest)) = split else { break };
            buf = rest;
            at = part.end;
            self.part(number, part, to, faults);
        }
        match self.refused {
            Some(error) if !self.answered => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads the `part` of a chunk. A whole chunk is decoded in place; one of which a part is wanted is kept, for the rest
    /// will be wanted soon.
    fn part(&mut self, number: u64, part: Range<u64>, to: &mut [u8], faults: &mut Faults) {
        let chunk = self.wof.range(number);
        let key = (self.wof.record, number);
        if let Some(unit) = self.wof.chunks.get(&key) {
            self.answered = true;
            return unit.copy(to, chunk.start, part, faults);
        }
        if part == chunk {
            let met = self.unpack(number, to);
            return faults.append_moved(met, 0, chunk.start);
        }
        let mut bytes = vec![0; to_usize(chunk.end.saturating_sub(chunk.start))];
        let met = self.unpack(number, &mut bytes);
        let sound = met.is_empty();
        let unit = Arc::new(Unit::new(bytes, met));
        unit.copy(to, chunk.start, part, faults);
        // What the storage does not give now it may give later.
        if sound {
            self.wof.chunks.insert(key, Arc::clone(&unit), unit.length(), Holds::ForGood);
        }
    }

    /// Reads and decodes a chunk into `to`, which is as long as what it stands for. The faults are counted from the start
    /// of the chunk.
    fn unpack(&mut self, number: u64, to: &mut [u8]) -> Faults {
        let whole = 0..len_u64(to);
        let mut faults = Faults::new();
        match self.place(number) {
            Place::Lost(fault) => {
                to.fill(0);
                faults.push(Fault { range: whole, ..fault });
            }
            Place::At(place, doubt) => {
                self.fetch(&place);
                self.decode(&place, to, &mut faults);
                if let Some(fault) = doubt.filter(|_| !faults.any_lost()) {
                    faults.push(Fault { range: whole, ..fault });
                }
            }
        }
        faults
    }

    /// Where a chunk stands in the compressed stream.
    fn place(&mut self, number: u64) -> Place {
        match self.wof.table.place(&self.wof.packed, self.volume, number) {
            Ok(Place::At(place, _)) if place.end.saturating_sub(place.start) > self.wof.algorithm.chunk_size() => {
                Place::Lost(broken())
            }
            Ok(place) => place,
            Err(error) => {
                self.refused.get_or_insert(error);
                Place::Lost(Fault { code: Code::HostReadError.as_str(), ..broken() })
            }
        }
    }

    /// Makes sure that the chunk at `place` is in `input`, with those behind it that will be wanted.
    fn fetch(&mut self, place: &Range<u64>) {
        let input_end = self.input_start.saturating_add(len_u64(&self.input));
        if self.input_start <= place.start && place.end <= input_end {
            return;
        }
        let last = self.wof.number(self.end.saturating_sub(1));
        let ahead = match self.wof.table.place(&self.wof.packed, self.volume, last) {
            Ok(Place::At(last, _)) => last.end.min(place.start.saturating_add(AHEAD)),
            _ => 0,
        };
        let range = place.start..place.end.max(ahead);
        self.input_start = range.start;
        self.input = vec![0; to_usize(range.end.saturating_sub(range.start))];
        self.input_faults = Faults::new();
        match self.wof.packed.read(self.volume, range.start, &mut self.input, &mut self.input_faults) {
            Ok(_) => {
                self.answered = true;
                // Who packs writes all of it: zeros that nobody wrote are no part of a chunk.
                let unwritten = self.wof.packed.unwritten();
                let unwritten = unwritten.start.max(range.start)..unwritten.end.min(range.end);
                if !unwritten.is_empty() {
                    self.input_faults.lost(unwritten, Code::NtfsCompressionBad.as_str());
                }
            }
            Err(error) => {
                self.refused.get_or_insert(error);
                self.input_faults = Faults::new();
                self.input_faults.lost(range, Code::HostReadError.as_str());
            }
        }
    }

    /// Decodes the chunk at `place`, which was fetched. A lost byte of it costs all of what it stands for, unless it stands
    /// as it is.
    fn decode(&self, place: &Range<u64>, to: &mut [u8], faults: &mut Faults) {
        let start = to_usize(place.start.saturating_sub(self.input_start));
        let end = to_usize(place.end.saturating_sub(self.input_start));
        let input = self.input.get(start..end).unwrap_or_default();
        let whole = 0..len_u64(to);
        let plain = input.len() == to.len();
        let touches = |fault: &&Fault| fault.range.start < place.end && place.start < fault.range.end;
        let met = || self.input_faults.iter().filter(touches);
        let lost = met().find(|fault| fault.kind == FaultKind::Lost).filter(|_| !plain);
        let failed = match lost {
            Some(fault) => Some(fault.clone()),
            None => self.wof.decode(input, to).err().map(|()| broken()),
        };
        if let Some(fault) = failed {
            to.fill(0);
            return faults.push(Fault { range: whole, ..fault });
        }
        for fault in met().take(if plain { usize::MAX } else { 1 }) {
            let (from, to) = (fault.range.start.max(place.start), fault.range.end.min(place.end));
            let bytes = from.saturating_sub(place.start)..to.saturating_sub(place.start);
            faults.push(Fault { range: if plain { bytes } else { whole.clone() }, ..fault.clone() });
        }
    }
}

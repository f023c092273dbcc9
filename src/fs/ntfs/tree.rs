//! The volume as a [`Tree`].

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use mount_api::{
    Attr, Case, Details, DirEntry, Error, ErrorKind, Fault, FaultKind, Faults, From, Kind, LinkPath, Name, NodeId,
    NodePath, NodeRange, Reparse, StreamEntry, Times, Tree, TreeInfo, Trust,
};

use super::file::{ATTRIBUTE_REPARSE_POINT, Attribute, File, Value};
use super::file_name::FileName;
use super::folder::{Folder, node_of};
use super::node_id::{self, ITSELF, STALE};
use super::record_states::Target;
use super::reparse_point::{self, Elsewhere};
use super::shelf::Shelf;
use super::standard_information::StandardInformation;
use super::stream::Stream;
use super::volume::lesser;
use super::{Ntfs, attribute, corrupt, security_descriptor, unsupported};
use crate::bytes::len_u64;
use crate::report::{Code, Severity};

const ATTRIBUTE_DIRECTORY: u32 = 0x10;
/// The content is to be fetched from elsewhere when it is read.
const ATTRIBUTE_RECALL_ON_DATA_ACCESS: u32 = 0x40_0000;
const ATTRIBUTE_OFFLINE: u32 = 0x1000;
const ATTRIBUTE_ENCRYPTED: u32 = 0x4000;
/// The name of a folder's index.
const NAMES: [u16; 4] = [0x24, 0x49, 0x33, 0x30];

/// A node: a file, and which of its streams.
pub(super) struct Node {
    pub(super) file: Arc<File>,
    /// 0 for the file itself.
    ordinal: u16,
    /// Whether the keys of an encrypted file count as a stream.
    with_keys: bool,
}

impl Tree for Ntfs {
    fn info(&self) -> TreeInfo {
        TreeInfo {
            file_system: "NTFS",
            version: self.version(),
            label: self.label.clone(),
            serial: self.volume.boot.serial,
            total_bytes: self.volume.boot.volume_size(),
            free_bytes: self.free_bytes(),
            block_size: u32::try_from(self.volume.boot.cluster_size).unwrap_or(u32::MAX).max(512),
            case: Case::Insensitive,
        }
    }

    fn lookup(&self, dir: NodeId, name: &Name, case: Case) -> Result<NodeId, Error> {
        if let Some(folder) = self.recovered_folder(dir)? {
            return folder.find(name, case);
        }
        let folder = self.folder(dir)?;
        let reference = match folder.find(name, case) {
            Err(error) => return self.shelf_named(dir, name, case).ok_or(error),
            Ok(reference) => reference,
        };
        match folder.target(reference, name) {
            Target::Stale => Err(corrupt(format!(
                "file record {}: the name {name:?} leads to file record {} of sequence {}, which was freed, \
                 belongs to another file by now, or stands in another folder",
                folder.number, reference.record, reference.sequence
            ))),
            target => node_of(reference, target),
        }
    }

    fn stream(&self, node: NodeId, name: &Name, case: Case) -> Result<NodeId, Error> {
        let node = self.node_at(node)?;
        let streams = || node.named_streams();
        let same = |found: &[u16]| found == name.units();
        let alike = |found: &[u16]| {
            self.upcase.compare(found.iter().copied(), name.units().iter().copied()) == std::cmp::Ordering::Equal
        };
        let found = streams()
            .find(|(_, _, stream)| same(&stream.name))
            .or_else(|| streams().find(|(_, _, stream)| case == Case::Insensitive && alike(&stream.name)));
        let (ordinal, ..) = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("file record {}: it has no stream {name:?}", node.file.number))
        })?;
        node.stream_id(ordinal)
    }

    fn streams(&self, node: NodeId, each: &mut dyn FnMut(StreamEntry) -> ControlFlow<()>) -> Result<(), Error> {
        let node = self.node_at(node)?;
        let mut damage = None;
        for (ordinal, _, stream) in node.named_streams() {
            // One whose record is lost has a name, and who asks for more is told.
            let sizes = if stream.is_lost() { Ok((0, 0)) } else { self.shown_sizes(stream) };
            let entry = sizes.and_then(|(size, allocated)| {
                let name = Name::from_units(stream.name.clone());
                Ok(StreamEntry { node: node.stream_id(ordinal)?, name, size, allocated })
            });
            match entry {
                Ok(entry) => {
                    if each(entry).is_break() {
                        return Ok(());
                    }
                }
                Err(error) => {
                    damage.get_or_insert(error);
                }
            }
        }
        damage.or_else(|| node.file.untold.clone()).map_or(Ok(()), Err)
    }

    fn attr(&self, node: NodeId) -> Result<Attr, Error> {
        let node = self.node_at(node)?;
        let file = &node.file;
        let standard = file.resident(attribute::STANDARD_INFORMATION).and_then(StandardInformation::parse);
        let name_times = file.long_name().map(|name| name.times());
        let (kind, (size, allocated)) = match node.ordinal {
            ITSELF => (self.kind(file), self.own_sizes(file)?),
            _ => (Kind::File, self.shown_sizes(node.data()?.1)?),
        };
        let lost_names = file.lost_names();
        let links = file.names().filter(|name| !name.is_dos()).count().saturating_add(lost_names);
        let mut attributes = standard.map_or(0, |standard| standard.attributes);
        for (is, bit) in [
            (file.directory, ATTRIBUTE_DIRECTORY),
            (file.find(attribute::REPARSE_POINT, &[]).is_some(), ATTRIBUTE_REPARSE_POINT),
        ] {
            attributes = if is { attributes | bit } else { attributes & !bit };
        }
        // A stream is encrypted by itself.
        match node.data().is_ok_and(|(_, stream)| stream.is_encrypted()) {
            true => attributes |= ATTRIBUTE_ENCRYPTED,
            false if node.ordinal != ITSELF => attributes &= !ATTRIBUTE_ENCRYPTED,
            false => {}
        }
        Ok(Attr {
            kind,
            size,
            allocated,
            // Without `$STANDARD_INFORMATION` those of the name are the next best.
            times: standard.map(|standard| standard.times).or(name_times).unwrap_or_default(),
            name_times,
            attributes,
            links: u32::try_from(links).unwrap_or(u32::MAX).max(1),
            record: if Shelf::of(file.number).is_some() { 0 } else { file.number.into() },
            sequence: file.sequence,
            owner: standard.and_then(|standard| standard.security_id),
            trust: [node.trust_in_clusters(), self.trust_in_name(file), trust_without(lost_names)]
                .into_iter()
                .fold(file.trust, lesser),
        })
    }

    fn times_of_name(&self, dir: NodeId, name: &Name, node: NodeId) -> Option<Times> {
        let (folder, _) = node_id::split(dir).ok()?;
        let file = self.node_at(node).ok()?.file;
        let is_it = |own: &FileName<'_>| {
            own.parent().record == u64::from(folder) && own.units().eq(name.units().iter().copied())
        };
        file.names().find(is_it).map(|own| own.times())
    }

    fn path(&self, node: NodeId) -> Option<NodePath> {
        self.path_of(node)
    }

    fn details(&self, node: NodeId) -> Result<Details, Error> {
        let file = self.node_at(node)?.file;
        let standard = file.resident(attribute::STANDARD_INFORMATION).and_then(StandardInformation::parse);
        // A descriptor that cannot be had keeps nobody from the rest.
        let descriptor = self.security(node).ok().flatten();
        Ok(Details {
            owner: descriptor.and_then(|descriptor| security_descriptor::owner(&descriptor)),
            usn: standard.and_then(|standard| standard.usn),
            recovered: self.recovered(node)?,
        })
    }

    fn reparse(&self, node: NodeId) -> Result<Option<Reparse>, Error> {
        let node = self.node_at(node)?;
        let Some(value) = self.reparse_value(&node.file)?.filter(|_| node.ordinal == ITSELF) else { return Ok(None) };
        let bad = || corrupt(format!("file record {}: its reparse point is cut short", node.file.number));
        reparse_point::parse(&value).ok_or_else(bad).map(Some)
    }

    fn link_path(&self, link: NodeId) -> Result<Option<LinkPath>, Error> {
        self.path_of_link(link)
    }

    fn security(&self, node: NodeId) -> Result<Option<Vec<u8>>, Error> {
        let file = self.node_at(node)?.file;
        if let Some(own) = self.whole_value(&file, attribute::SECURITY_DESCRIPTOR)? {
            return Ok(Some(own));
        }
        let standard = file.resident(attribute::STANDARD_INFORMATION).and_then(StandardInformation::parse);
        match standard.and_then(|standard| standard.security_id) {
            Some(id) => Ok(Some(self.descriptor(id)?.to_vec())),
            None => Ok(None),
        }
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: From<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        match self.recovered_folder(dir)? {
            Some(folder) => folder.list(from, each),
            None if dir == NodeId::ROOT && self.recovery.is_some() => self.list_root(from, each),
            None => self.folder(dir)?.list(from, each),
        }
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8], faults: &mut Faults) -> Result<usize, Error> {
        let node = self.node_at(node)?;
        let Some(stream) = self.content(&node)? else { return Ok(0) };
        let mut met = Faults::new();
        let read = stream.read(self.volume_of(&node.file), offset, buf, &mut met)?;
        if met.iter().any(|fault| fault.code == Code::NtfsCompressionBad.as_str()) {
            let text = format!("File record {}: compressed data do not decompress and are lost", node.file.number);
            self.note(Code::NtfsCompressionBad, Severity::Error, text);
        }
        for (range, code) in self.contests(&node.file, &stream, offset..offset.saturating_add(super::to_u64(read))) {
            met.doubtful(range, code.as_str());
        }
        if let Trust::Doubtful(code) = self.trust_in_name(&node.file) {
            met.doubtful(offset..offset.saturating_add(super::to_u64(read)), code);
        }
        // What the disk gave though it is doubtful, the user has accepted there.
        let is_own = |fault: &Fault| fault.kind == FaultKind::Doubtful && fault.code.starts_with("ntfs-");
        for fault in met.iter().cloned() {
            let refused = is_own(&fault) && !self.options.accept_doubtful;
            faults.push(if refused { fault.refused(offset, buf) } else { fault });
        }
        Ok(read)
    }

    fn ranges(
        &self,
        node: NodeId,
        range: Range<u64>,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let node = self.node_at(node)?;
        let content = match node.ordinal == ITSELF && node.file.directory {
            true => self.value_named(&node.file, attribute::INDEX_ALLOCATION, &NAMES)?,
            false => self.content(&node)?,
        };
        if let Some(stream) = content {
            let mut each = |stretch| match node.file.freed {
                true => self.tell_reused(stretch, each),
                false => self.tell_contests(&node.file, &stream, stretch, each),
            };
            // A break is the caller's own word, nothing to report.
            let _ = stream.ranges(range, self.volume_of(&node.file), &mut each);
        }
        Ok(())
    }
}

impl Ntfs {
    pub(super) fn node_at(&self, id: NodeId) -> Result<Node, Error> {
        let (record, ordinal) = node_id::split(id)?;
        let node = Node { file: self.file(record)?, ordinal, with_keys: self.options.raw_encrypted };
        if ordinal != ITSELF {
            node.data()?;
        }
        Ok(node)
    }

    pub(super) fn folder(&self, id: NodeId) -> Result<Folder<'_>, Error> {
        let node = self.node_at(id)?;
        if node.ordinal != ITSELF {
            return Err(Error::new(ErrorKind::NotADirectory, "a stream is no folder"));
        }
        Folder::open(self, &node.file)
    }

    /// The stream that holds a node's content, `None` where it has none, if it can be shown.
    pub(super) fn content(&self, node: &Node) -> Result<Option<Arc<Stream>>, Error> {
        let file = &node.file;
        if node.ordinal == ITSELF && file.directory {
            let text = format!("file record {} is a folder", file.number);
            return Err(Error::new(ErrorKind::IsADirectory, text));
        }
        if node.ordinal == ITSELF && file.find(attribute::DATA, &[]).is_none() {
            return self.may_have_no_content(file).map(|()| None);
        }
        let stream = self.value(file, node.data()?.0)?;
        if stream.size() > 0 {
            self.may_be_shown(file, &stream)?;
            if node.ordinal == ITSELF {
                return self.content_elsewhere(file, stream).map(Some);
            }
        }
        Ok(Some(stream))
    }

    /// A stream may be zeros for the only reason that its content is not in it.
    fn content_elsewhere(&self, file: &File, stream: Arc<Stream>) -> Result<Arc<Stream>, Error> {
        let Some(value) = self.reparse_value(file)? else { return Ok(stream) };
        let tag = reparse_point::tag(&value).unwrap_or(0);
        let standard = file.resident(attribute::STANDARD_INFORMATION).and_then(StandardInformation::parse);
        let recall = ATTRIBUTE_RECALL_ON_DATA_ACCESS | ATTRIBUTE_OFFLINE;
        let recalled = standard.is_some_and(|standard| standard.attributes & recall != 0);
        let (why, code) = match reparse_point::content(tag) {
            Some(Elsewhere::Wof) => return self.wof_content(file, &stream, &value),
            Some(Elsewhere::ChunkStore) => ("deduplicated", Code::Deduplicated),
            Some(Elsewhere::Always(why)) => (why, Code::ContentElsewhere),
            Some(Elsewhere::WhereHoles(why)) if recalled || stream.has_hole() => (why, Code::ContentElsewhere),
            _ => return Ok(stream),
        };
        let text = format!(
            "file record {}: its content is {why} (reparse tag {tag:#010x}), which is not read yet",
            file.number
        );
        Err(unsupported(text).with_code(code.as_str()))
    }

    /// Size and allocated bytes of a file itself: of its unnamed stream, or of its index. What WOF compressed is allocated
    /// where the chunks are.
    fn own_sizes(&self, file: &File) -> Result<(u64, u64), Error> {
        if file.directory {
            let index = file.find(attribute::INDEX_ALLOCATION, &NAMES);
            // A folder whose index is unreadable still is a folder of size 0.
            return Ok((0, index.and_then(|index| sizes(index).ok()).map_or(0, |(_, allocated)| allocated)));
        }
        let Some(data) = file.find(attribute::DATA, &[]) else {
            return self.may_have_no_content(file).map(|()| (0, 0));
        };
        let (size, allocated) = self.shown_sizes(data)?;
        match self.reparse_tag(file) {
            Some(tag) if reparse_point::is_wof(tag) => Ok((size, allocated.saturating_add(file.wof_allocated()))),
            _ => Ok((size, allocated)),
        }
    }

    /// Every file of a user has an unnamed stream, be it empty; only NTFS's own and links may have none. Without it the stream
    /// is lost, and the file not empty.
    fn may_have_no_content(&self, file: &File) -> Result<(), Error> {
        if let Some(error) = &file.missing {
            return Err(error.clone());
        }
        if file.is_of_ntfs() || self.kind(file) == Kind::Link {
            return Ok(());
        }
        Err(corrupt(format!("file record {}: it has no unnamed stream", file.number)))
    }

    fn reparse_tag(&self, file: &File) -> Option<u32> {
        self.reparse_value(file).ok().flatten().and_then(|value| reparse_point::tag(&value))
    }

    /// What a file is. A reparse point that cannot be read makes no link.
    pub(super) fn kind(&self, file: &File) -> Kind {
        let tag = self.reparse_tag(file);
        match (tag.is_some_and(reparse_point::is_link), file.directory) {
            (true, _) => Kind::Link,
            (false, true) => Kind::Directory,
            (false, false) => Kind::File,
        }
    }

    fn reparse_value(&self, file: &File) -> Result<Option<Vec<u8>>, Error> {
        self.whole_value(file, attribute::REPARSE_POINT)
    }

    /// The whole value of an attribute that is small on every volume, resident or not.
    fn whole_value(&self, file: &File, kind: u32) -> Result<Option<Vec<u8>>, Error> {
        /// Reparse points have 16 KiB at most, security descriptors 64 KiB.
        const MAX_LENGTH: u64 = 128 << 10;
        let Some(stream) = self.value_named(file, kind, &[])? else { return Ok(None) };
        if stream.size() > MAX_LENGTH {
            let text =
                format!("file record {}: {} bytes in an attribute of type {kind:#x}", file.number, stream.size());
            return Err(corrupt(text));
        }
        let mut bytes = vec![0; super::to_usize(stream.size())];
        let mut faults = Faults::new();
        stream.read(self.volume_of(file), 0, &mut bytes, &mut faults)?;
        super::volume::whole(&faults, || format!("file record {}: attribute of type {kind:#x}", file.number))?;
        Ok(Some(bytes))
    }
}

impl Node {
    /// The number of the file record.
    pub(super) fn record(&self) -> u32 {
        self.file.number
    }

    /// The name of the stream that the node stands for; `None` for the file itself.
    pub(super) fn stream_name(&self) -> Option<Name> {
        let stream = (self.ordinal != ITSELF).then(|| self.data().ok()).flatten();
        stream.map(|(_, attribute)| Name::from_units(attribute.name.clone()))
    }

    /// The named streams with their ordinals, from 1 on, and their places among the attributes.
    fn named_streams(&self) -> impl Iterator<Item = (u64, usize, &Attribute)> {
        let all = self.file.attributes.iter().enumerate();
        let keys = all.clone().filter(|(_, attribute)| self.with_keys && attribute.is_keys());
        let named = all.filter(|(_, attribute)| attribute.kind == attribute::DATA && !attribute.name.is_empty());
        // Last, for the other streams keep their numbers so.
        let named = named.chain(keys);
        (1u64..).zip(named).map(|(ordinal, (index, stream))| (ordinal, index, stream))
    }

    /// The stream that the node stands for, and its place among the attributes.
    pub(super) fn data(&self) -> Result<(usize, &Attribute), Error> {
        let found = if self.ordinal == ITSELF {
            let mut all = self.file.attributes.iter().enumerate();
            all.find(|(_, attribute)| attribute.kind == attribute::DATA && attribute.name.is_empty())
        } else {
            let mut named = self.named_streams();
            named.find(|(ordinal, ..)| *ordinal == u64::from(self.ordinal)).map(|(_, index, stream)| (index, stream))
        };
        found.ok_or_else(|| {
            let text = format!("file record {} has no stream of ordinal {}", self.file.number, self.ordinal);
            Error::new(ErrorKind::NotFound, text)
        })
    }

    /// Clusters that were freed may have been anybody's since.
    fn trust_in_clusters(&self) -> Trust {
        let in_clusters =
            |(_, data): (usize, &Attribute)| matches!(&data.value, Value::NonResident(value) if value.header.size > 0);
        match self.file.freed && self.data().is_ok_and(in_clusters) {
            true => Trust::Doubtful(Code::NtfsClustersFreed.as_str()),
            false => Trust::Proven,
        }
    }

    fn stream_id(&self, ordinal: u64) -> Result<NodeId, Error> {
        let ordinal = u16::try_from(ordinal).ok().filter(|ordinal| *ordinal != STALE);
        ordinal.and_then(|ordinal| node_id::join(self.file.number, ordinal)).ok_or_else(|| {
            unsupported(format!("file record {}: a stream of it has no place among the node ids", self.file.number))
        })
    }
}

/// Size and allocated bytes of an attribute.
pub(super) fn sizes(attribute: &Attribute) -> Result<(u64, u64), Error> {
    match &attribute.value {
        Value::Resident(bytes) => Ok((len_u64(bytes), 0)),
        Value::NonResident(value) => Ok((value.header.size, value.header.occupied)),
        Value::Unreadable(error) => Err(error.clone()),
    }
}

/// How far the metadata of a file can be trusted of which so many names are lost: what is told of its names is not all.
fn trust_without(lost_names: usize) -> Trust {
    if lost_names == 0 { Trust::Proven } else { Trust::Doubtful(Code::NtfsFileRecordBad.as_str()) }
}

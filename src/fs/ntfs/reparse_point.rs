//! `$REPARSE_POINT`: what a file is instead of, or besides, its content.

use mount_api::{Name, Reparse, ReparseTarget};

use crate::bytes::{u16_le, u32_le, utf16_le};

/// Bytes before the data: tag, length, reserved.
const HEADER: usize = 8;
const TAG_MOUNT_POINT: u32 = 0xa000_0003;
const TAG_SYMLINK: u32 = 0xa000_000c;
/// A symbolic link made in WSL (Windows Subsystem for Linux).
const TAG_LX_SYMLINK: u32 = 0xa000_001d;
const TAG_WOF: u32 = 0x8000_0017;
const TAG_DEDUP: u32 = 0x8000_0013;
const TAG_SIS: u32 = 0x8000_0007;
const TAG_HSM: u32 = 0xc000_0004;
const TAG_HSM2: u32 = 0x8000_0006;
const TAG_WIM: u32 = 0x8000_0008;
/// All the tags of cloud files, OneDrive's among them, are this one with a number in the bits left out here.
const TAG_CLOUD: u32 = 0x9000_001a;
const TAG_CLOUD_MASK: u32 = 0xffff_0fff;
/// OneDrive's tag before there were cloud files.
const TAG_ONEDRIVE: u32 = 0x8000_0021;
/// The only version of the data of a link of WSL: the target follows, in UTF-8, to the end.
const LX_SYMLINK_VERSION: u32 = 2;
/// A symbolic link that counts from the folder that it stands in.
const SYMLINK_FLAG_RELATIVE: u32 = 1;

/// The tag alone.
pub(super) fn tag(value: &[u8]) -> Option<u32> {
    u32_le(value, 0)
}

/// Whether Windows, or Linux within it, follows a reparse point of this tag as a link.
pub(super) fn is_link(tag: u32) -> bool {
    matches!(tag, TAG_MOUNT_POINT | TAG_SYMLINK | TAG_LX_SYMLINK)
}

/// What stands between the names in the target of a link of this tag.
pub(super) fn separator(tag: u32) -> u16 {
    if tag == TAG_LX_SYMLINK { u16::from(b'/') } else { u16::from(b'\\') }
}

/// Whether WOF (Windows Overlay Filter) keeps the content of a file with this reparse tag.
pub(super) fn is_wof(tag: u32) -> bool {
    tag == TAG_WOF
}

/// Where the content of a file is when not in its unnamed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Not in the stream at all, whatever it holds: in words for people.
    Always(&'static str),
    /// Compressed, in another stream of the file.
    Wof,
    /// Cut into chunks that many files share.
    ChunkStore,
    /// Perhaps not on this disk: where the stream has holes, their content is not known.
    WhereHoles(&'static str),
}

/// Where the content of a file with this reparse tag is, if not in its unnamed stream.
pub(super) fn content(tag: u32) -> Option<Elsewhere> {
    Some(match tag {
        TAG_MOUNT_POINT | TAG_SYMLINK | TAG_LX_SYMLINK => return None,
        TAG_WOF => Elsewhere::Wof,
        TAG_DEDUP => Elsewhere::ChunkStore,
        TAG_SIS => Elsewhere::Always("kept in a single-instance store"),
        TAG_WIM => Elsewhere::Always("kept in a WIM file"),
        TAG_HSM | TAG_HSM2 => Elsewhere::WhereHoles("moved to remote storage"),
        _ if tag & TAG_CLOUD_MASK == TAG_CLOUD || tag == TAG_ONEDRIVE => {
            Elsewhere::WhereHoles("a placeholder of cloud files (OneDrive)")
        }
        _ => Elsewhere::WhereHoles("a placeholder of an unknown kind"),
    })
}

/// The whole of it; `None` where the value is shorter or longer than it says.
pub(super) fn parse(value: &[u8]) -> Option<Reparse> {
    let tag = tag(value)?;
    let length = usize::from(u16_le(value, 4)?);
    // Tags that are not Microsoft's have a GUID before the data, which `length` does not count.
    let guid = if tag & 0x8000_0000 == 0 { 16 } else { 0 };
    let end = HEADER.checked_add(length)?.checked_add(guid)?;
    let data = value.get(HEADER..).filter(|_| end == value.len())?;
    let target = match tag {
        TAG_SYMLINK => u32_le(data, 8).and_then(|flags| target(data, 12, flags & SYMLINK_FLAG_RELATIVE != 0)),
        TAG_MOUNT_POINT => target(data, 8, false),
        TAG_LX_SYMLINK => lx_target(data),
        _ => None,
    };
    Some(Reparse { tag, data: data.to_vec(), target })
}

/// The target of a link of WSL, slashes as they stand; `None` where it is no text.
fn lx_target(data: &[u8]) -> Option<ReparseTarget> {
    let version = u32_le(data, 0)?;
    let text = std::str::from_utf8(data.get(4..)?).ok().filter(|_| version == LX_SYMLINK_VERSION)?;
    Some(ReparseTarget { substitute: Name::from(text), print: Name::default(), relative: !text.starts_with('/') })
}

fn target(data: &[u8], names_start: usize, relative: bool) -> Option<ReparseTarget> {
    let names = data.get(names_start..)?;
    let name = |at: usize| {
        let start = usize::from(u16_le(data, at)?);
        let length = usize::from(u16_le(data, at.checked_add(2)?)?);
        Some(Name::from_units(utf16_le(names.get(start..start.checked_add(length)?)?)))
    };
    // The print name is for people and may be wrong or missing without harm.
    Some(ReparseTarget { substitute: name(0)?, print: name(4).unwrap_or_default(), relative })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tag: u32, data: &[u8]) -> Vec<u8> {
        let mut value = tag.to_le_bytes().to_vec();
        value.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
        value.extend([0, 0]);
        value.extend(data);
        value
    }

    #[test]
    fn links_have_targets() {
        let mut data = vec![2, 0, 4, 0, 0, 0, 2, 0, 1, 0, 0, 0];
        data.extend([b'p', 0, b's', 0, b't', 0]);
        let link = parse(&value(TAG_SYMLINK, &data)).unwrap();
        let target = link.target.unwrap();
        assert_eq!((target.substitute, target.print, target.relative), ("st".into(), "p".into(), true));
        assert_eq!(link.data, data);

        let data = [0, 0, 2, 0, 200, 0, 2, 0, b'j', 0];
        let target = parse(&value(TAG_MOUNT_POINT, &data)).unwrap().target.unwrap();
        assert_eq!((target.substitute, target.print, target.relative), ("j".into(), "".into(), false));

        let wsl =
            |version: u8, text: &[u8]| parse(&value(TAG_LX_SYMLINK, &[&[version, 0, 0, 0], text].concat())).unwrap();
        let target = wsl(2, b"../a/\xc3\xbc").target.unwrap();
        assert_eq!((target.substitute, target.relative), ("../a/\u{fc}".into(), true));
        assert!(!wsl(2, b"/mnt/c").target.unwrap().relative);
        assert_eq!((wsl(2, b"\xff").target, wsl(1, b"a").target), (None, None));

        let outside = [9, 0, 2, 0, 0, 0, 0, 0];
        assert_eq!(parse(&value(TAG_MOUNT_POINT, &outside)).unwrap().target, None);
        assert_eq!(parse(&[0; 5]), None);
    }

    #[test]
    fn content_that_is_elsewhere_is_known_by_its_tag() {
        assert!(matches!(content(0x8000_0013), Some(Elsewhere::ChunkStore)));
        assert!(matches!(content(0x9000_701a), Some(Elsewhere::WhereHoles(text)) if text.contains("OneDrive")));
        assert!(matches!(content(0x8000_0021), Some(Elsewhere::WhereHoles(text)) if text.contains("OneDrive")));
        assert_eq!((content(TAG_SYMLINK), content(TAG_LX_SYMLINK)), (None, None));
    }
}

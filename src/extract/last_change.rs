//! When a file of the host was last changed.

use std::fs::Metadata;
use std::time::UNIX_EPOCH;

use mount_api::Time;

/// The time of last change; `None` where the host does not say, and before 1970.
#[must_use]
pub fn last_change(found: &Metadata) -> Option<Time> {
    let since = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Time::from_unix(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()))
}

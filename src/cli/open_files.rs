//! How many files may be open: a chain has each of its links open.

/// Has this program open as many files as the host lets it at all. Shells begin with less: 1,024 of 524,288, as a rule.
pub(super) fn allow_all() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Where it is refused, the first link that cannot be opened says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

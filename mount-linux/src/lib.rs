//! A [`mount_api::Tree`] mounted read-only through FUSE.

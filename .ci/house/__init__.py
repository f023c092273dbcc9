"""Checks that the house stands as docs/ARCHITECTURE.md describes it: what rustc and clippy cannot see."""

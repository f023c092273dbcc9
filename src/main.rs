//! The program `vhdx-mount`.
fn main() {}

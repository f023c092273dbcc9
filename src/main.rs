//! The program `vhdx-mount`: opens a chain of Hyper-V disk images, mounts the merged disk read-only, lists and describes
//! it. Everything that knows disks is in the library.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}

//! What stands at the mount point: the raw disk, its volumes and the report, as one [`Tree`](mount_api::Tree).
//!
//! [`inventory`] opens what a disk holds, [`mod@report`] writes it down as the documented JSON object, [`mod@refused`]
//! what there is to say of a disk that was not opened, [`tree`] shows it; [`judge`]
//! tells whether what is on a disk holds together.

mod inventory;
mod judge;
mod refused;
mod report;
mod tree;
mod untold;

pub use inventory::{Inventory, Volume};
pub use judge::VolumeJudge;
pub use refused::refused;
pub use report::report;
pub use tree::{Namespace, Shown, is_own_file};

//! The command that opens a chain, as it can be pasted into a shell.

use vhdx_mount::report::quoted;
use vhdx_mount::scan::{Ending, Scan, ScannedChain};

/// The command that opens a chain; `None` where none would.
pub(super) fn to_open(scan: &Scan, chain: &ScannedChain) -> Option<String> {
    let opens = |link: &usize| scan.images.get(*link).is_some_and(|image| image.error.is_none());
    if !chain.links.iter().all(opens) {
        return None;
    }
    let missing = match chain.ending {
        Ending::Base => "",
        Ending::Missing => " --missing lost",
        Ending::Cycle | Ending::TooDeep => return None,
    };
    let youngest = &scan.images.get(*chain.links.first()?)?.path;
    let parents = scan.parents_to_name(chain).into_iter().map(|parent| format!(" --parent {}", quoted(parent)));
    Some(format!("vhdx-mount {} TARGET{missing}{}", quoted(youngest), parents.collect::<String>()))
}

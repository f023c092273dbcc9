//! What a run reads, and how, as its arguments have it: `--resume` goes on only with the same.

use vhdx_mount::chain::Chain;
use vhdx_mount::extract::Reading;

use super::args::ChainArgs;
use super::maps;
use super::outcome::Failure;

/// That of a chain that was opened so. What merely finds images does not count, nor does what allowed a link that is proven.
pub(crate) fn of(chain: &Chain, how: &ChainArgs) -> Result<Reading, Failure> {
    let mut reading = Reading::of(chain.links(), Vec::new());
    let flags =
        [(how.no_log_replay, "--no-log-replay"), (how.accept_doubtful, "--accept-doubtful"), (how.live, "--live")];
    flags.into_iter().filter(|(given, _)| *given).for_each(|(_, switch)| reading.ask(switch));
    how.assume.iter().for_each(|assumption| reading.ask(format!("--assume {assumption}")));
    maps::named(&how.map)?.into_iter().for_each(|map| reading.ask(format!("--map {map}")));
    Ok(reading)
}

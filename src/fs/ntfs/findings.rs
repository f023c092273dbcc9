//! What was found in a volume: each once, with what to try next, and no more than can be kept.

use std::collections::BTreeSet;

use crate::report::{Code, Finding, Severity};

/// Findings made while reading are kept up to this many; each also is an error or a fault of its own.
const MOST: usize = 1000;

/// Findings, each made once.
#[derive(Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    texts: BTreeSet<String>,
    /// How much those matter that were not kept, if there are any.
    left_out: Option<Severity>,
}

impl Findings {
    /// Adds one, if it is not there yet. What advises nothing of its own gets the advice of its code.
    pub(super) fn add(&mut self, finding: Finding) {
        if self.texts.contains(&finding.text) {
            return;
        }
        if self.list.len() >= MOST {
            self.left_out = self.left_out.max(Some(finding.severity));
            return;
        }
        self.texts.insert(finding.text.clone());
        let default = advice(finding.code).filter(|_| finding.severity >= Severity::Warning);
        let advice = finding.advice.or_else(|| default.map(str::to_owned));
        self.list.push(Finding { advice, ..finding });
    }

    /// All of them; the last one tells that there are more, where there are.
    pub(super) fn all(&self) -> Vec<Finding> {
        let more = self.left_out.map(|severity| {
            let text = format!("More was found in this volume than is kept: only the first {MOST} findings are told");
            Finding::new(Code::FindingsLeftOut, severity, text).advise(
                "every read tells what is lost or doubtful of it; the manifest of `extract` tells it of each file",
            )
        });
        self.list.iter().cloned().chain(more).collect()
    }
}

/// What to try next where something of this kind was found, and no more is known.
fn advice(code: Code) -> Option<&'static str> {
    let text = match code {
        Code::NtfsFileRecordBad => {
            "`extract` writes what is left of a file as NAME.partial or NAME.doubtful, and --deleted shows in $Orphans what no folder has; another copy of the image (a backup, a replica, an older checkpoint) may hold it whole"
        }
        Code::NtfsAttributeListBad | Code::NtfsRunListBad | Code::NtfsCompressionBad => {
            "`extract` writes what is left of a file as NAME.partial or NAME.doubtful; another copy of the image (a backup, a replica, an older checkpoint) may hold it whole"
        }
        Code::NtfsIndexBad => {
            "names that are missing may be in another copy of the image (a backup, a replica, an older checkpoint); --deleted shows in $Orphans what no folder has"
        }
        Code::NtfsIndexDoubtful => {
            "hold the names against another copy of the image (a backup, a replica, an older checkpoint)"
        }
        Code::NtfsMirrorUsed | Code::NtfsMirrorDiffers | Code::NtfsBootSectorBad | Code::VolumeDirty => {
            "copy the files out first; let chkdsk repair a copy of the disk only, as `export` makes one"
        }
        Code::NtfsLogDirty | Code::NtfsLogUnreadable => {
            "for the last changes let Windows mount a copy of the disk, as `export` makes one: it takes in what $LogFile has"
        }
        Code::VolumeHibernated => {
            "the newest changes to files may be in another copy of the image, of a time when Windows was shut down (a backup, a replica, a later checkpoint)"
        }
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_told() {
        let mut findings = Findings::default();
        let finding =
            |number: usize, severity| Finding::new(Code::NtfsRunListBad, severity, format!("finding {number}"));
        for number in (0..MOST).chain(0..MOST) {
            findings.add(finding(number, Severity::Warning));
        }
        assert_eq!(findings.all().len(), MOST);
        for severity in [Severity::Error, Severity::Information] {
            findings.add(finding(MOST, severity));
            let all = findings.all();
            assert_eq!(all.len(), MOST + 1);
            let last = all.last().unwrap();
            assert_eq!((last.code, last.severity), (Code::FindingsLeftOut, Severity::Error));
        }
    }

    #[test]
    fn what_advises_nothing_gets_the_advice_of_its_code() {
        let mut findings = Findings::default();
        findings.add(Finding::new(Code::VolumeDirty, Severity::Warning, "dirty"));
        findings.add(Finding::new(Code::VolumeDirty, Severity::Warning, "of its own").advise("do this"));
        findings.add(Finding::new(Code::VolumeDirty, Severity::Information, "nothing is wrong"));
        let all = findings.all();
        let advice: Vec<_> = all.iter().map(|finding| finding.advice.as_deref()).collect();
        assert_eq!(advice, [advice_of_dirty(), Some("do this"), None]);
    }

    fn advice_of_dirty() -> Option<&'static str> {
        let text = advice(Code::VolumeDirty);
        assert!(text.is_some_and(|text| text.contains("chkdsk")));
        text
    }
}

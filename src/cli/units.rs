//! Sizes and times for people.

use mount_api::Time;
use vhdx_mount::extract::utc::Utc;

/// A size in the largest binary unit that it fills, with one decimal where that says something.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// A time in UTC, to the second; `-` where none is recorded.
pub(crate) fn time(time: Time) -> String {
    if time == Time(0) {
        return "-".to_owned();
    }
    let Utc { year, month, day, hour, minute, second, .. } = Utc::of(time);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(127 << 30), "127 GiB");
        assert_eq!(size(64 << 40), "64 TiB");
        assert_eq!(size(u64::MAX), "15.9 EiB");
        assert_eq!(time(Time::from_unix(0, 0)), "1970-01-01 00:00:00");
        assert_eq!(time(Time::from_unix(951_782_400, 5)), "2000-02-29 00:00:00");
        assert_eq!(time(Time(0)), "-");
        assert_eq!(time(Time::from_unix(253_402_300_799, 0)), "9999-12-31 23:59:59");
        // What Windows means by "never".
        assert_eq!(time(Time(u64::MAX >> 1)), "30828-09-14 02:48:05");
    }
}

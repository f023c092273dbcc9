//! Times as text in UTC, and back.
//!
//! A time of NTFS reaches to the year 60056, RFC 3339 to 9999, and jiff's [`Timestamp`] two days less: so the days are counted
//! here.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use mount_api::Time;

const SECONDS_A_DAY: u64 = 86_400;
const DAYS_IN_4_YEARS: u64 = 1461;
const DAYS_IN_100_YEARS: u64 = 36_524;
const DAYS_IN_400_YEARS: u64 = 146_097;

/// The last year that RFC 3339 can tell, and the last moment of it.
const LAST_YEAR: u64 = 9999;
const LAST_TOLD: u64 = 2_650_467_743_999_999_999;

/// A moment by the Gregorian calendar, in UTC. It prints as RFC 3339 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utc {
    /// From 1601 to 60056.
    pub year: u64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
    /// In steps of 100 nanoseconds, below 10,000,000.
    pub fraction: u64,
}

impl Utc {
    /// The moment of a time.
    #[must_use]
    pub fn of(time: Time) -> Self {
        let (seconds, fraction) = (time.0 / 10_000_000, time.0 % 10_000_000);
        let (days, second) = (seconds / SECONDS_A_DAY, seconds % SECONDS_A_DAY);
        // Times count from 1601, where 400 years begin that go on alike for ever: the last year of four is a leap year, but for
        // the last of a hundred, unless it is the last of the 400.
        let rest = days % DAYS_IN_400_YEARS;
        let century = (rest / DAYS_IN_100_YEARS).min(3);
        let rest = rest.saturating_sub(century.saturating_mul(DAYS_IN_100_YEARS));
        let (four, rest) = (rest / DAYS_IN_4_YEARS, rest % DAYS_IN_4_YEARS);
        let single = (rest / 365).min(3);
        let mut day = rest.saturating_sub(single.saturating_mul(365));
        let is_leap = single == 3 && (four != 24 || century == 3);
        let years = [(days / DAYS_IN_400_YEARS, 400), (century, 100), (four, 4), (single, 1)];
        let year = years.into_iter().fold(1601u64, |sum, (count, of)| sum.saturating_add(count.saturating_mul(of)));
        let mut month = 1u32;
        for length in [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if day < length {
                break;
            }
            day = day.saturating_sub(length);
            month = month.saturating_add(1);
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Utc { year, month, day: day.saturating_add(1), hour, minute, second, fraction }
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Utc {
    /// As RFC 3339 has it. Digit by digit: an extraction tells millions.
    fn text(&self) -> String {
        let mut text = String::with_capacity(LENGTH);
        push(&mut text, "", self.year, if self.year > LAST_YEAR { 5 } else { 4 });
        push(&mut text, "-", self.month.into(), 2);
        push(&mut text, "-", self.day, 2);
        push(&mut text, "T", self.hour, 2);
        push(&mut text, ":", self.minute, 2);
        push(&mut text, ":", self.second, 2);
        if self.fraction > 0 {
            push(&mut text, ".", self.fraction, DIGITS);
            text.truncate(text.trim_end_matches('0').len());
        }
        text.push('Z');
        text
    }
}

/// The most bytes that a moment's text has.
const LENGTH: usize = 29;

/// The most digits of one number in it.
const DIGITS: usize = 7;

/// Adds a separator and a number of so many digits.
fn push(text: &mut String, before: &str, number: u64, width: usize) {
    let mut rest = number;
    let mut digits = [0u32; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = u32::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    text.push_str(before);
    let shown = digits.iter().skip(DIGITS.saturating_sub(width));
    text.extend(shown.filter_map(|digit| char::from_digit(*digit, 10)));
}

/// A time as RFC 3339, to the 100 nanoseconds; `None` where none is recorded, and from the year 10000 on.
#[must_use]
pub fn timestamp(time: Time) -> Option<String> {
    (1..=LAST_TOLD).contains(&time.0).then(|| Utc::of(time).text())
}

/// A time that [`timestamp`] cannot tell, from the year 10000 on, as it is recorded: steps of 100 nanoseconds since 1601.
#[must_use]
pub fn filetime(time: Time) -> Option<u64> {
    (time.0 > LAST_TOLD).then_some(time.0)
}

/// A time from RFC 3339; `None` where the text is none.
#[must_use]
pub fn parse(text: &str) -> Option<Time> {
    let since = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp.as_duration(),
        // The last days of the year 9999.
        Err(_) => {
            let civil: DateTime = text.strip_suffix(['Z', 'z'])?.parse().ok()?;
            civil.duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0))
        }
    };
    let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
    // Before 1970 the fraction counts back from the second after.
    let before = i64::from(nanos < 0);
    let nanos = i64::from(nanos).saturating_add(before.saturating_mul(1_000_000_000));
    Some(Time::from_unix(seconds.saturating_sub(before), u32::try_from(nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What jiff makes of it, where it can.
    fn by_jiff(time: Time) -> Option<String> {
        let (seconds, nanos) = time.to_unix();
        Timestamp::new(seconds, i32::try_from(nanos).unwrap()).ok().map(|told| told.to_string())
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        const DAY: u64 = 86_400 * 10_000_000;
        // Each day of 400 years, then some up to where jiff ends, each at another time.
        let mut days = 0;
        for day in (0u64..146_097).chain((146_097..).step_by(97)) {
            let time = Time(1 + day * DAY + day * 7919 % DAY);
            let Some(expected) = by_jiff(time) else { break };
            assert_eq!(timestamp(time), Some(expected));
            days = day;
        }
        assert!(days > 3_067_000, "{days}");
        assert_eq!(timestamp(Time(0)), None);
        assert_eq!(timestamp(Time::from_unix(-1, 500_000_000)).as_deref(), Some("1969-12-31T23:59:59.5Z"));
    }

    #[test]
    fn the_end_of_the_year_9999_is_told_and_what_follows_is_a_number() {
        // 21 times 400 years end with the year 10000, a leap year.
        let end = 21 * 146_097 * 86_400 * 10_000_000u64 - 1;
        assert_eq!(timestamp(Time(end + 1)), None);
        assert_eq!(filetime(Time(end + 1)), Some(end + 1));
        let last = end - 366 * 86_400 * 10_000_000u64;
        assert_eq!(timestamp(Time(last)).as_deref(), Some("9999-12-31T23:59:59.9999999Z"));
        assert_eq!(filetime(Time(last)), None);
        assert_eq!(filetime(Time(last + 1)), Some(last + 1));
        assert_eq!(parse("9999-12-31T23:59:59.9999999Z"), Some(Time(last)));
        assert_eq!(Time(last).to_unix(), (253_402_300_799, 999_999_900));
        assert_eq!(timestamp(Time(last - 86_400 * 10_000_000)).as_deref(), Some("9999-12-30T23:59:59.9999999Z"));
        assert_eq!(Utc::of(Time(end + 1)).to_string(), "10001-01-01T00:00:00Z");
        assert_eq!(Utc::of(Time(u64::MAX >> 1)).to_string(), "30828-09-14T02:48:05.4775807Z");
        assert_eq!(Utc::of(Time(u64::MAX)).year, 60056);
        assert_eq!(parse("10000-01-01T00:00:00Z"), None);
    }

    #[test]
    fn what_is_told_is_read_again() {
        for time in
            [1, 9_999_999, 10_000_000, 116_444_735_995_000_000, 116_444_736_000_000_001, 133_000_000_000_000_007]
        {
            let text = timestamp(Time(time)).unwrap();
            assert_eq!(parse(&text), Some(Time(time)), "{text}");
        }
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Some(Time::from_unix(-1, 500_000_000)));
        assert_eq!(parse("2026-01-31T14:00:00+02:00"), parse("2026-01-31T12:00:00Z"));
        assert_eq!(parse("yesterday"), None);
    }
}

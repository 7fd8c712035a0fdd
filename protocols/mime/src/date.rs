//! The Date field, read and written (RFC 5322 §3.3 and §4.3).
//!
//! Reads bytes from strangers. The day of the week is not checked, since many are wrong; comments are passed over.

/// A moment, and the clock it was told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Since 1970-01-01 00:00 UTC.
    pub seconds: i64,
    /// East of UTC.
    pub offset_minutes: i32,
}

/// As messages write them, and IMAP too.
pub const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// 1970-01-01 was a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY_SECONDS: i64 = 86_400;

/// RFC 5322 §3.3: date-time = [day-of-week ","] day month year hour ":" minute [":" second] zone; a missing zone is UTC.
pub fn parse(value: &[u8]) -> Option<Date> {
    let text = String::from_utf8(without_comments(value)).ok()?;
    let mut tokens = text.split(|letter: char| letter.is_ascii_whitespace() || letter == ',').filter(|token| !token.is_empty()).peekable();
    if tokens.peek()?.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        tokens.next();
    }
    let day = number(tokens.next()?, 2)?;
    let month = tokens.next()?.get(..3).and_then(|name| MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name)))?;
    let year = year(tokens.next()?)?;
    let month = i64::try_from(month).ok()? + 1;
    if !(1..=month_days(year, month)).contains(&day) {
        return None;
    }
    // RFC 5322 §4.3 allows space around the colons.
    let rest = tokens.collect::<Vec<_>>().join(" ").replace(" :", ":").replace(": ", ":");
    let (clock, zone) = rest.split_once(' ').unwrap_or((&rest, "UT"));
    let offset_minutes = offset(zone.split(' ').next()?);
    let seconds = days(year, month, day) * DAY_SECONDS + time(clock)? - i64::from(offset_minutes) * 60;
    Some(Date { seconds, offset_minutes })
}

/// RFC 5322 §3.3, such as `Wed, 25 Nov 2026 08:45:34 +0000`.
pub fn format(date: Date) -> String {
    let local = date.seconds.saturating_add(i64::from(date.offset_minutes) * 60);
    let (days, second) = (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS));
    let (year, month, day) = civil(days);
    let name =
        |names: &[&'static str], place: i64| usize::try_from(place).ok().and_then(|place| names.get(place).copied()).unwrap_or_default();
    let (week_day, month) = (name(&DAYS, days.rem_euclid(7)), name(&MONTHS, month - 1));
    let (sign, offset) = (if date.offset_minutes < 0 { '-' } else { '+' }, date.offset_minutes.unsigned_abs());
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{week_day}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{:02}{:02}", offset / 60, offset % 60)
}

/// Comments as spaces; they nest (RFC 5322 §3.2.2).
fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut depth = 0_usize;
    let keep = |byte: &u8| match byte {
        b'(' => {
            depth += 1;
            b' '
        }
        b')' => {
            depth = depth.saturating_sub(1);
            b' '
        }
        _ if depth > 0 => b' ',
        _ => *byte,
    };
    value.iter().map(keep).collect()
}

/// Digits only, and no more than these.
fn number(token: &str, digits_max: usize) -> Option<i64> {
    let proper = (1..=digits_max).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit());
    proper.then(|| token.parse().ok())?
}

/// RFC 5322 §4.3: two digits up to 49 are of this century; other short ones count from 1900. Nothing is older (§3.3).
fn year(token: &str) -> Option<i64> {
    let year = number(token, 4)?;
    match token.len() {
        2 if year < 50 => Some(year + 2000),
        2 | 3 => Some(year + 1900),
        4 if year >= 1900 => Some(year),
        _ => None,
    }
}

/// Seconds of the day; second 60 is the one after 59, as leap seconds are not counted.
fn time(clock: &str) -> Option<i64> {
    let mut pieces = clock.split(':');
    let (hour, minute) = (number(pieces.next()?, 2)?, number(pieces.next()?, 2)?);
    let second = pieces.next().map_or(Some(0), |piece| number(piece, 2))?;
    (hour < 24 && minute < 60 && second <= 60 && pieces.next().is_none()).then_some(hour * 3600 + minute * 60 + second)
}

/// RFC 5322 §3.3 and §4.3: minutes east. Letters of the military and names unknown say nothing sure, so they are UTC.
fn offset(zone: &str) -> i32 {
    let hours = match zone.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return numeric_offset(zone).unwrap_or(0),
    };
    hours * 60
}

/// ("+" / "-") 4DIGIT
fn numeric_offset(zone: &str) -> Option<i32> {
    let digits = zone.strip_prefix(['+', '-'])?;
    let value = i32::try_from(number(digits, 4).filter(|_| digits.len() == 4)?).ok()?;
    let minutes = value / 100 * 60 + value % 100;
    (value % 100 < 60).then_some(if zone.starts_with('-') { -minutes } else { minutes })
}

fn month_days(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, with years that begin in March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The inverse of [`days`]: year, month from 1, day from 1.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let (era, of_era) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (year, day) = (year + era * 400, of_year - (153 * month + 2) / 5 + 1);
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates() {
        let table = [
            ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706, -360),
            ("Thu,\t13\tFeb\t1969 23:32\t-0330 (Newfoundland (Time))", -27_723_480, -210),
            ("21 Nov 97 09:55:06 GMT", 880_106_106, 0),
            ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880_127_706, -360),
            ("1 jan 2000 00:00 EST", 946_702_800, -300),
            ("1 Jan 100 00:00:00 Z", 946_684_800, 0),
            ("29 Feb 2000 12:00:60 A", 951_825_660, 0),
            ("Thu, 1 January 1970 00:00:00", 0, 0),
        ];
        for (value, seconds, offset_minutes) in table {
            assert_eq!(parse(value.as_bytes()), Some(Date { seconds, offset_minutes }), "{value}");
        }
        for broken in
            ["", "x", "30 Feb 2000 00:00 Z", "1 Jan 2000", "1 Foo 2000 0:0 Z", "1 Jan 20000 00:00 Z", "1 Jan 2000 24:00 Z", "1 Jä 2000 0:0"]
        {
            assert_eq!(parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn written() {
        assert_eq!(format(Date { seconds: 880_127_706, offset_minutes: -360 }), "Fri, 21 Nov 1997 09:55:06 -0600");
        assert_eq!(format(Date { seconds: 0, offset_minutes: 330 }), "Thu, 1 Jan 1970 05:30:00 +0530");
    }

    proptest! {
        #[test]
        fn reading_is_the_inverse_of_writing(seconds in -2_208_902_400_i64..253_402_214_400, offset_minutes in -1439_i32..1440) {
            let date = Date { seconds, offset_minutes };
            prop_assert_eq!(parse(format(date).as_bytes()), Some(date), "{}", format(date));
        }

        #[test]
        fn any_bytes_will_do(value in prop::collection::vec(any::<u8>(), 0..40)) {
            parse(&value);
        }
    }
}

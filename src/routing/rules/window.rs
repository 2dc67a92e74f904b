//! A part of the week.

use jiff::{
    Timestamp, ToSpan,
    civil::{Time, Weekday},
    tz::TimeZone,
};

const MINUTES_PER_DAY: u16 = 24 * 60;

/// Why hours were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hours are written as 08:00-18:00, and begin and end apart")]
pub struct ParseHoursError;

/// Hours on some days of the week, as the clocks of a time zone show them.
#[derive(Clone, Debug)]
pub struct Window {
    /// First minute of the day and the minute after the last; an end before the beginning is on the next day.
    hours: Option<(u16, u16)>,
    /// The days on which it begins; empty means every day.
    weekdays: Vec<Weekday>,
    zone: TimeZone,
}

impl Window {
    /// Returns the window. `hours` is `08:00-18:00`, or `22:00-06:00` for a night, which belongs to the day on which it begins;
    /// the end is not included.
    ///
    /// # Errors
    /// The hours are not written so.
    pub fn new(hours: Option<&str>, weekdays: Vec<Weekday>, zone: TimeZone) -> Result<Self, ParseHoursError> {
        let hours = hours.map(|hours| parse(hours).ok_or(ParseHoursError)).transpose()?;
        Ok(Self { hours, weekdays, zone })
    }

    pub(super) fn holds(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        let minute = minute_of(local.time());
        let (is_in, is_next_day) = match self.hours {
            None => (true, false),
            Some((from, to)) if from < to => ((from..to).contains(&minute), false),
            Some((from, to)) => (minute >= from || minute < to, minute < to),
        };
        let begun = if is_next_day { local.date().saturating_sub(1.day()) } else { local.date() };
        is_in && (self.weekdays.is_empty() || self.weekdays.contains(&begun.weekday()))
    }
}

fn minute_of(time: Time) -> u16 {
    let (hour, minute) = (time.hour().unsigned_abs(), time.minute().unsigned_abs());
    u16::from(hour) * 60 + u16::from(minute)
}

fn parse(hours: &str) -> Option<(u16, u16)> {
    let (from, to) = hours.split_once('-')?;
    let (from, to) = (parse_minute(from)?, parse_minute(to)?);
    (from != to && from < MINUTES_PER_DAY).then_some((from, to))
}

fn parse_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && total <= MINUTES_PER_DAY).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(hours: &str, weekdays: &[Weekday], zone: &str) -> Window {
        Window::new(Some(hours), weekdays.to_vec(), TimeZone::get(zone).unwrap()).unwrap()
    }

    fn holds(window: &Window, at: &str) -> bool {
        window.holds(at.parse().unwrap())
    }

    #[test]
    fn hours_are_those_of_the_zone_also_in_summer() {
        let office = window("08:00-18:00", &[], "Europe/Berlin");

        // 2026-01-15 is in winter (UTC+1), 2026-07-15 in summer (UTC+2).
        assert!(!holds(&office, "2026-01-15T06:59:59Z") && holds(&office, "2026-01-15T07:00:00Z"));
        assert!(!holds(&office, "2026-07-15T05:59:59Z") && holds(&office, "2026-07-15T06:00:00Z"));
        assert!(holds(&office, "2026-07-15T15:59:59Z") && !holds(&office, "2026-07-15T16:00:00Z"));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let friday_night = window("22:00-06:00", &[Weekday::Friday], "UTC");

        // 2026-07-17 is a Friday.
        assert!(holds(&friday_night, "2026-07-17T23:00:00Z") && holds(&friday_night, "2026-07-18T05:59:00Z"));
        assert!(!holds(&friday_night, "2026-07-17T05:00:00Z") && !holds(&friday_night, "2026-07-18T23:00:00Z"));
    }

    #[test]
    fn hours_that_are_none_are_refused() {
        for hours in ["8-18", "08:00", "25:00-26:00", "08:60-09:00", "08:00-08:00", "24:00-06:00", "99999:00-1:00"] {
            assert!(Window::new(Some(hours), Vec::new(), TimeZone::UTC).is_err(), "{hours}");
        }
        assert!(Window::new(Some("18:00-24:00"), Vec::new(), TimeZone::UTC).is_ok());
    }
}

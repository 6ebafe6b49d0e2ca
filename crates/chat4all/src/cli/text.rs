use std::time::{SystemTime, UNIX_EPOCH};

/// Other people's text, safe for a terminal: no character that moves the cursor, changes colours or turns the
/// order of what surrounds it. Line breaks stay.
pub(super) fn clean(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        // Embeddings, overrides and isolates of writing direction reach beyond the text they stand in.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// The same on one line.
pub(super) fn clean_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// A moment of the server's clock, as UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: u64,
    pub(super) minute: u64,
}

impl Moment {
    /// From milliseconds since 1970.
    pub(super) fn at(ms: u64) -> Self {
        let minutes = ms / 60_000;
        let days = i64::try_from(minutes / 1440).unwrap_or(0);
        // Howard Hinnant's civil_from_days, for days since 1970.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day, hour: minutes / 60 % 24, minute: minutes % 60 }
    }

    pub(super) fn date(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    pub(super) fn time(self) -> String {
        format!("{:02}:{:02}", self.hour, self.minute)
    }
}

/// Now, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disarms_terminal_control() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}31m\r\x07c"), "a\u{fffd}[2Jb\u{fffd}31m\u{fffd}\u{fffd}c");
        assert_eq!(clean("\u{202e}abc"), "\u{fffd}abc");
        assert_eq!(clean("שלום 👩‍👩‍👧 e\u{301}\nx"), "שלום 👩‍👩‍👧 e\u{301}\nx");
        assert_eq!(clean_line("a\nb"), "a b");
    }

    #[test]
    fn knows_the_calendar() {
        for (ms, date, time) in [
            (0, "1970-01-01", "00:00"),
            (951_782_400_000, "2000-02-29", "00:00"),
            (1_709_251_140_000, "2024-02-29", "23:59"),
            (1_735_689_600_000, "2025-01-01", "00:00"),
        ] {
            let moment = Moment::at(ms);
            assert_eq!((moment.date().as_str(), moment.time().as_str()), (date, time));
        }
    }
}

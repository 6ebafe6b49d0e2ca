//! What names, addresses and passwords must look like.

use chat4all_model::api::{FieldError, QuietHours};

use crate::error::{Failure, Result};

/// Gathers everything that is wrong, to be told at once.
#[derive(Default)]
pub(super) struct Faults(Vec<FieldError>);

impl Faults {
    /// The value that a rule admits; otherwise notes what is wrong with the field.
    pub(super) fn check<T>(&mut self, field: &str, outcome: Result<T, &'static str>) -> Option<T> {
        outcome
            .map_err(|message| self.0.push(FieldError { field: field.into(), message: message.into() }))
            .ok()
    }

    /// Refuses if anything is wrong.
    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::fields(self.0)) }
    }
}

type Rule<T> = Result<T, &'static str>;

/// In lower case. Only ASCII, so that no two names look the same.
pub(super) fn username(name: &str) -> Rule<String> {
    let name = name.to_ascii_lowercase();
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    if (3..=32).contains(&name.len()) && name.bytes().all(fits) {
        Ok(name)
    } else {
        Err("must be 3 to 32 characters of a-z 0-9 _ . -")
    }
}

pub(super) fn password(password: &str) -> Rule<()> {
    // Counting stops early: the body's limit is far above what Argon2 should chew on.
    match password.chars().take(257).count() {
        8..=256 => Ok(()),
        _ => Err("must have 8 to 256 characters"),
    }
}

/// The shape alone; whether mail arrives only mail can tell.
pub(super) fn email(address: &str) -> Rule<String> {
    let wrong = Err("must be an e-mail address");
    if address.len() > 254 || address.chars().any(|c| c.is_whitespace() || c.is_control() || invisible(c)) {
        return wrong;
    }
    let Some((local, domain)) = address.rsplit_once('@') else { return wrong };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let local_fits = (1..=64).contains(&local.len()) && !local.contains('@');
    if local_fits && domain.split('.').all(label) { Ok(address.to_owned()) } else { wrong }
}

/// Without marks that turn the direction of the text around it, and without outer space.
pub(super) fn display_name(name: &str) -> Rule<String> {
    let name: String = name.chars().filter(|c| !invisible(*c)).collect();
    let name = name.trim();
    if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err("must not have control characters");
    }
    match name.chars().count() {
        1..=64 => Ok(name.to_owned()),
        _ => Err("must have 1 to 64 characters"),
    }
}

/// Marks of direction, and the byte order mark. Joiners stay: emoji and scripts need them.
fn invisible(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The shape of an IANA name: `UTC`, `Europe/Berlin`, `America/Argentina/Salta`, `Etc/GMT+3`.
pub(super) fn time_zone(name: &str) -> Rule<String> {
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_alphabetic())
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
    };
    if name.len() <= 64 && name.split('/').count() <= 3 && name.split('/').all(part) {
        Ok(name.to_owned())
    } else {
        Err("must be the IANA name of a time zone, like Europe/Berlin")
    }
}

pub(super) fn quiet_hours(hours: QuietHours) -> Rule<QuietHours> {
    if hours.from_minute < 1440 && hours.to_minute < 1440 { Ok(hours) } else { Err("minutes are 0 to 1439") }
}

pub(super) fn file_id(id: &str) -> Rule<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.:@+-".contains(&b);
    if (1..=128).contains(&id.len()) && id.bytes().all(fits) {
        Ok(id.to_owned())
    } else {
        Err("must be a file's id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_lowered_and_tricks_refused() {
        assert_eq!(username("Alice_1.b-c").as_deref(), Ok("alice_1.b-c"));
        // Too short, too long, a space, a Kelvin sign, a Cyrillic a, fullwidth, a joiner, a dotless i, NUL.
        let long = "a".repeat(33);
        for bad in [
            "al",
            long.as_str(),
            "al ice",
            "\u{212a}elvin",
            "\u{430}lice",
            "ａlice",
            "ali\u{200d}ce",
            "al\u{131}ce",
            "a\0bc",
        ] {
            assert!(username(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passwords_count_characters() {
        assert!(password("🔑🔑🔑🔑🔑🔑🔑").is_err());
        assert!(password("🔑🔑🔑🔑🔑🔑🔑🔑").is_ok());
        assert!(password(&"x".repeat(256)).is_ok());
        assert!(password(&"x".repeat(257)).is_err());
    }

    #[test]
    fn display_names_keep_what_people_write_and_lose_what_tricks_do() {
        assert_eq!(display_name(" 👩‍👩‍👧 Zoë عمر ").as_deref(), Ok("👩‍👩‍👧 Zoë عمر"));
        assert_eq!(display_name("ad\u{202e}nim\u{2066}").as_deref(), Ok("adnim"));
        for bad in ["", " ", "\u{202e}", "a\nb", "a\0b", "a\u{2028}b", &"x".repeat(65)] {
            assert!(display_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_and_zones_have_their_shape() {
        for good in ["a@b", "a.b+c@example.org", "é@münchen.de"] {
            assert!(email(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b..c",
            "a b@c",
            "a@b@c",
            "a@-b",
            "a\n@b",
            &format!("{}@b", "a".repeat(65)),
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        for good in ["UTC", "Europe/Berlin", "America/Argentina/Salta", "Etc/GMT+3"] {
            assert!(time_zone(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "Europe/", "../etc/passwd", "Europe Berlin", "a/b/c/d", "Ünited/x"] {
            assert!(time_zone(bad).is_err(), "{bad:?}");
        }
    }
}

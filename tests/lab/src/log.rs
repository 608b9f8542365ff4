//! The daemon's JSON log, line by line.

use std::time::Duration;

use serde_json::Value;

/// One line of the log: a flat object.
#[derive(Clone, Debug)]
pub struct Record(Value);

impl Record {
    /// Reads a line; none if it is no JSON object with a message.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        value.get("message")?.is_string().then_some(Self(value))
    }

    /// What the line is about.
    #[must_use]
    pub fn message(&self) -> &str {
        self.text("message")
    }

    /// A field's text; empty where the field is absent or no text.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field's number, however it is written; none where the field is absent or no number.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<f64> {
        let value = self.0.get(field)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }

    /// A field that counts something; none where the field is absent or no whole number.
    #[must_use]
    pub fn count(&self, field: &str) -> Option<u64> {
        self.0.get(field)?.as_u64()
    }

    /// When it was written, since 1970; none where it does not say so.
    #[must_use]
    pub fn moment(&self) -> Option<Duration> {
        let (date, time) = self.text("timestamp").strip_suffix('Z')?.split_once('T')?;
        let [year, month, day] = numbers(date, '-')?;
        let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let [hours, minutes, seconds] = numbers(whole, ':')?;
        let seconds = (days_before(year, month, day)? * 24 + hours) * 3600 + minutes * 60 + seconds;
        let nanos = format!("{fraction:0<9}").parse().ok()?;
        Some(Duration::new(seconds, nanos))
    }

    /// Whether each of these fields has this text.
    #[must_use]
    pub fn has(&self, fields: &[(&str, &str)]) -> bool {
        fields.iter().all(|(field, text)| self.text(field) == *text)
    }
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let numbers = text.split(between).map(|word| word.parse().ok());
    numbers.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// Days from the first of March of the year 0 to 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// Days from 1970 to a day of the Gregorian calendar, 1970 or later. Counted by years that begin in
/// March, so that a leap day is a year's last.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month < 3 { year.checked_sub(1)? } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(DAYS_BEFORE_1970)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Record;

    #[test]
    fn a_line_gives_up_its_fields() -> Result<(), &'static str> {
        let line = r#"{"message":"exchange","rule":"*.a.b","status":200,"duration_ms":1.5}"#;
        let record = Record::parse(line).ok_or("no record")?;
        assert_eq!(record.message(), "exchange");
        assert_eq!((record.text("rule"), record.text("target")), ("*.a.b", ""));
        assert_eq!((record.count("status"), record.count("rule")), (Some(200), None));
        assert_eq!(record.number("duration_ms"), Some(1.5));
        assert!(record.has(&[("message", "exchange"), ("rule", "*.a.b")]));
        assert!(!record.has(&[("message", "exchange"), ("rule", "a.b")]));
        Ok(())
    }

    #[test]
    fn a_line_says_when_it_was_written() {
        for (text, moment) in [
            ("1970-01-01T00:00:00Z", Some(Duration::ZERO)),
            ("2024-02-29T23:59:59.5Z", Some(Duration::from_millis(1_709_251_199_500))),
            ("2026-11-20T21:43:42.706028Z", Some(Duration::from_micros(1_795_211_022_706_028))),
            ("2026-11-20", None),
            ("1969-12-31T00:00:00Z", None),
        ] {
            let line = format!(r#"{{"message":"ready","timestamp":"{text}"}}"#);
            assert_eq!(Record::parse(&line).and_then(|it| it.moment()), moment, "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in ["", "error: no such file", "[1]", r#"{"level":"INFO"}"#] {
            assert!(Record::parse(line).is_none(), "{line}");
        }
    }
}

//! The daemon's JSON log, line by line.

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

    /// Whether each of these fields has this text.
    #[must_use]
    pub fn has(&self, fields: &[(&str, &str)]) -> bool {
        fields.iter().all(|(field, text)| self.text(field) == *text)
    }
}

#[cfg(test)]
mod tests {
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
    fn what_is_no_record_is_none() {
        for line in ["", "error: no such file", "[1]", r#"{"level":"INFO"}"#] {
            assert!(Record::parse(line).is_none(), "{line}");
        }
    }
}

//! The options of `kneo_order_feed_open`.

use serde_json::{Map, Value};

use crate::base::error::Error;
use crate::feeds::options::{self, Times};

/// How an order feed behaves.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(super) times: Times,
    /// What the login names as its origin.
    pub(super) source: String,
}

impl Options {
    /// Reads the argument; an empty one means all defaults.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let mut fields = options::parse(text)?;
        let options = Self {
            times: Times::take(&mut fields)?,
            source: fields.text("source")?.unwrap_or_else(|| "WEB".to_owned()),
        };
        let fits = options.source.bytes().all(|b| b.is_ascii_alphanumeric());
        if !fits || !(1..=16).contains(&options.source.len()) {
            return Err(fields.problem("source", "must be 1 to 16 letters and digits"));
        }
        fields.finish()?;
        Ok(options)
    }

    /// Those in force.
    pub(super) fn describe(&self) -> Map<String, Value> {
        let mut all = self.times.describe();
        all.insert("source".to_owned(), self.source.as_str().into());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_can_be_given() {
        let options = Options::parse(Some(r#"{"ping_interval_ms":10,"source":"X1"}"#));
        let described = options.expect("they are good").describe();
        assert_eq!(described.len(), 5);
        let again = Value::from(described.clone()).to_string();
        let again = Options::parse(Some(&again)).expect("they are good");
        assert_eq!(again.describe(), described);
    }
}

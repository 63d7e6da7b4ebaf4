//! `eectl asset set` and `eectl asset setbands`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use earthengine::{AssetUpdate, Remedy};
use serde_json::{Map, Number, Value, json};

use crate::cli::Global;
use crate::cli::asset::{Set, SetBands};
use crate::command::session::{Session, advise};
use crate::error::CliError;
use crate::output::{print, print_json};

pub(super) async fn run(global: &Global, arguments: &Set) -> Result<(), CliError> {
    send(global, &arguments.asset, &update(arguments)?, None).await
}

pub(super) async fn set_bands(global: &Global, arguments: &SetBands) -> Result<(), CliError> {
    let update = AssetUpdate::new().band_names(&arguments.names);
    let advice = "An image has one name for each band; `eectl asset info` shows its bands.";
    send(global, &arguments.asset, &update, Some(advice)).await
}

/// Changes an asset. `advice` is about a request that the server considers invalid.
async fn send(
    global: &Global,
    id: &str,
    update: &AssetUpdate,
    advice: Option<&str>,
) -> Result<(), CliError> {
    let name = super::writable(id)?;
    let session = Session::connect(global).await?;
    let updated = session.ee.assets().update(name.as_str(), update).await;
    let updated = updated.map_err(|error| match advice {
        Some(advice) => advise(error, advice),
        None => error,
    });
    let what = format!("update {name}");
    let updated = session.explained(&what, &name, updated).await?;
    if global.json {
        return print_json(&json!(updated));
    }
    print(format!("updated {name}\n"))
}

fn update(arguments: &Set) -> Result<AssetUpdate, CliError> {
    let mut update = AssetUpdate::new();
    let properties = parse_properties(&arguments.property)?;
    for (name, value) in &properties {
        update = update.property(name, value.clone());
    }
    if let Some(text) = &arguments.time_start {
        update = match parse_time("--time-start", text)? {
            Some(time) => update.start_time(&time),
            None => update.without_start_time(),
        };
    }
    if let Some(text) = &arguments.time_end {
        update = match parse_time("--time-end", text)? {
            Some(time) => update.end_time(&time),
            None => update.without_end_time(),
        };
    }
    if properties.is_empty() && arguments.time_start.is_none() && arguments.time_end.is_none() {
        return Err(CliError::usage_with_remedy(
            "nothing to set",
            Remedy::new("Add --property NAME=VALUE, --time-start TIME or --time-end TIME."),
        ));
    }
    Ok(update)
}

/// Parses properties with different names.
pub(in crate::command) fn parse_properties(
    texts: &[String],
) -> Result<Map<String, Value>, CliError> {
    let mut properties = Map::new();
    for text in texts {
        let (name, value) = parse_property(text)?;
        if properties.insert(name.to_owned(), value).is_some() {
            let message = format!("the property {name:?} is set twice");
            return Err(CliError::usage(&message));
        }
    }
    Ok(properties)
}

/// Parses `NAME=VALUE` or `(TYPE)NAME=VALUE`, as the Python command does. The value `null`, unless it
/// is a string, removes the property.
fn parse_property(text: &str) -> Result<(&str, Value), CliError> {
    let (kind, rest) = match text.strip_prefix('(').and_then(|text| text.split_once(')')) {
        Some((kind, rest)) => (Some(kind), rest),
        None => (None, text),
    };
    let Some((name, value)) = rest.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err(CliError::usage_with_remedy(
            &format!("{text:?} is not a property"),
            Remedy::new(
                "Use NAME=VALUE or (TYPE)NAME=VALUE, as in --property season=dry or --property '(string)tile=007'.",
            ),
        ));
    };
    let invalid = |what: &str| {
        CliError::usage_with_remedy(
            &format!("the property {name:?} is not a {what}: {value:?}"),
            Remedy::new(match what {
                "date" => DATE_FORMS,
                _ => "Use a finite number, or the type (string).",
            }),
        )
    };
    let value = match kind {
        Some("string") => json!(value),
        None | Some("number" | "date") if value == "null" => Value::Null,
        None => number(value).unwrap_or_else(|| json!(value)),
        Some("number") => number(value).ok_or_else(|| invalid("number"))?,
        Some("date") if value.is_empty() => json!(""),
        Some("date") => json!(milliseconds(value).ok_or_else(|| invalid("date"))?),
        Some(other) => {
            return Err(CliError::usage_with_remedy(
                &format!("the property {name:?} has the unknown type {other:?}"),
                Remedy::new("The types are (string), (number) and (date)."),
            ));
        }
    };
    Ok((name, value))
}

const DATE_FORMS: &str =
    "Use YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS[.FRACTION] in UTC, or milliseconds since 1970.";

/// Parses a finite number.
fn number(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    let number = Number::from_f64(text.parse().ok()?)?;
    Some(Value::Number(number))
}

/// Parses a date in UTC, as milliseconds since 1970.
fn milliseconds(text: &str) -> Option<i64> {
    if let Ok(milliseconds) = text.parse() {
        return Some(milliseconds);
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let time = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => date.and_hms_opt(0, 0, 0)?,
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?,
    };
    Some(time.and_utc().timestamp_millis())
}

/// Parses a time for the API. Returns `None` for an empty text.
pub(in crate::command) fn parse_time(option: &str, text: &str) -> Result<Option<String>, CliError> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = milliseconds(text).and_then(DateTime::<Utc>::from_timestamp_millis);
    let time = time.ok_or_else(|| {
        CliError::usage_with_remedy(
            &format!("{option} is not a time: {text:?}"),
            Remedy::new(DATE_FORMS),
        )
    })?;
    Ok(Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_has_the_given_or_the_guessed_type() {
        for (text, name, value) in [
            ("season=dry", "season", json!("dry")),
            ("a=1", "a", json!(1)),
            ("a=-1.5e3", "a", json!(-1500.0)),
            ("a=", "a", json!("")),
            ("a=b=c", "a", json!("b=c")),
            ("a=null", "a", Value::Null),
            ("a=NaN", "a", json!("NaN")),
            ("a=inf", "a", json!("inf")),
            ("(string)a=null", "a", json!("null")),
            ("(string)tile=007", "tile", json!("007")),
            ("(number)a=7", "a", json!(7)),
            ("(number)a=null", "a", Value::Null),
            ("(date)a=1970-01-02", "a", json!(86_400_000)),
            ("(date)a=1970-01-01T00:00:01.5", "a", json!(1500)),
            ("(date)a=1970-01-01T00:00:01Z", "a", json!(1000)),
            ("(date)a=12", "a", json!(12)),
        ] {
            assert_eq!(parse_property(text).unwrap(), (name, value), "{text}");
        }
        for text in [
            "a",
            "=1",
            "",
            "(number)a=x",
            "(number)a=NaN",
            "(date)a=2024-13-01",
            "(real)a=1",
            "(date)=1",
        ] {
            let error = parse_property(text).unwrap_err();
            assert_eq!(error.exit_status(), 2, "{text}");
        }
    }

    #[test]
    fn time_is_sent_in_utc_or_removed() {
        for (text, time) in [
            ("2024-02-29", Some("2024-02-29T00:00:00Z")),
            ("2024-02-29T12:30:00.25", Some("2024-02-29T12:30:00.250Z")),
            ("0", Some("1970-01-01T00:00:00Z")),
            ("-1", Some("1969-12-31T23:59:59.999Z")),
            ("", None),
        ] {
            assert_eq!(parse_time("--time-start", text).unwrap().as_deref(), time);
        }
        for text in ["2024-02-30", "today", "9223372036854775807"] {
            assert!(parse_time("--time-end", text).is_err(), "{text}");
        }
    }
}

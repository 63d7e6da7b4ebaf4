use ee_token::SecretString;

use super::*;

#[derive(Debug, Deserialize)]
struct Example {
    text: Option<String>,
    secret: Option<SecretString>,
    path: Option<FilePath>,
    project: Option<ProjectId>,
    flag: Option<bool>,
    number: Option<u64>,
    list: Option<Vec<String>>,
    inner: Option<Inner>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    secret: SecretString,
}

fn object(text: &str) -> JsonObject<'_> {
    JsonObject::parse(text, &Location::Variable("X")).unwrap()
}

fn read(text: &str) -> Result<Example, String> {
    object(text).read().map_err(|error: Error| {
        assert!(!error.remedy().text.is_empty(), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        error.to_string()
    })
}

#[test]
fn missing_empty_or_mistyped_field_is_named() {
    for (text, why) in [
        ("{}", "the field `secret` is missing"),
        (r#"{"secret": null}"#, "the field `secret` is missing"),
        (r#"{"secret": " \n"}"#, "the field `secret` is empty"),
        (
            r#"{"secret": 7}"#,
            "the field `secret` is a number, and must be text",
        ),
        (
            r#"{"secret": ["canary"]}"#,
            "the field `secret` is a list, and must be text",
        ),
        (
            r#"{"secret": {"x": "canary"}}"#,
            "the field `secret` is an object, and must be text",
        ),
        (
            r#"{"secret": true}"#,
            "the field `secret` is true or false, and must be text",
        ),
    ] {
        let error = object(text).read::<Inner>().unwrap_err().to_string();
        assert_eq!(error, format!("the variable X: {why}"));
        let error = object(text).field::<SecretString>("secret").unwrap_err();
        assert_eq!(error.to_string(), format!("the variable X: {why}"));
        let outer = format!("{{\"inner\": {text}}}");
        let error = read(&outer).unwrap_err();
        assert_eq!(error, format!("the variable X: in `inner`: {why}"));
    }
}

#[test]
fn structures_are_nested() {
    let example = read(r#"{"inner": {"secret": "canary", "other": [{}]}}"#).unwrap();
    assert_eq!(example.inner.unwrap().secret.expose_secret(), "canary");
}

#[test]
fn null_and_blank_optional_fields_are_missing() {
    let example = read(
        r#"{"text": " ", "secret": null, "path": "", "project": "\t", "number": null, "list": null, "inner": null}"#,
    );
    let example = example.unwrap();
    assert!(example.text.is_none() && example.secret.is_none() && example.path.is_none());
    assert!(example.project.is_none() && example.flag.is_none() && example.number.is_none());
    assert!(example.list.is_none() && example.inner.is_none());
}

#[test]
fn number_may_be_text_or_have_a_fraction_of_zero() {
    for (text, number) in [
        (r#"{"number": 5000}"#, Some(5000)),
        (r#"{"number": 5000.0}"#, Some(5000)),
        (r#"{"number": " 5000 "}"#, Some(5000)),
        (r#"{"number": 5e3}"#, Some(5000)),
        (r#"{"number": -1}"#, None),
        (r#"{"number": "inf"}"#, None),
        (r#"{"number": 1e300}"#, None),
        (r#"{"number": true}"#, None),
    ] {
        assert_eq!(
            read(text).ok().and_then(|read| read.number),
            number,
            "{text}"
        );
    }
}

#[test]
fn fields_of_other_types_are_named() {
    for (field, value, found, expected) in [
        ("list", r#""canary""#, "text", "a list of texts"),
        ("list", "[1]", "a list of other things", "a list of texts"),
        ("flag", r#""canary""#, "text", "true or false"),
        ("number", r#""canary""#, "text", "a whole number"),
        ("number", "1.50", "1.50", "a whole number"),
        ("inner", r#""canary""#, "text", "an object"),
        ("project", "{}", "an object", "text"),
    ] {
        let error = read(&format!(r#"{{"{field}": {value}}}"#)).unwrap_err();
        let why = format!("the field `{field}` is {found}, and must be {expected}");
        assert_eq!(error, format!("the variable X: {why}"));
    }
    let error = read(r#"{"path": "-----BEGIN PRIVATE KEY-----\ncanary"}"#).unwrap_err();
    let why = "the field `path` contains a private key, not a path";
    assert_eq!(error, format!("the variable X: {why}"));
}

#[test]
fn escapes_are_resolved_or_rejected() {
    let text = r#"{"secret": "\"\\\/\b\f\n\r\t\u00e4\ud83c\udf0d ä"}"#;
    let secret = read(text).unwrap().secret.unwrap();
    let all = "\"\\/\u{8}\u{c}\n\r\tä\u{1f30d} ä";
    assert_eq!(secret.expose_secret(), all);
    for text in [r"\ud83c", r"\udf0d", r"\ud83c\u0041", r"canary\ud807"] {
        let error = read(&format!(r#"{{"text": "{text}"}}"#)).unwrap_err();
        assert!(error.contains("not a character"), "{error}");
    }
}

#[test]
fn overlong_text_is_rejected_and_not_quoted() {
    let text = "x".repeat(MAX_TEXT);
    let example = read(&format!(r#"{{"text": "{text}"}}"#)).unwrap();
    assert_eq!(example.text, Some(text.clone()));
    let error = read(&format!(r#"{{"text": "{text}x"}}"#)).unwrap_err();
    assert!(error.contains("`text` has 2049 bytes"), "{error}");
    assert!(!error.contains("xx"), "{error}");
}

#[test]
fn field_name_is_sanitized_and_shortened() {
    let name = format!("{}{}", r"\u001b[2J", "x".repeat(5000));
    let text = format!(r#"{{"{name}": {{}}}}"#);
    let object = object(&text);
    let name = object.names().next().unwrap();
    let error = object.field::<String>(name).unwrap_err().to_string();
    assert!(error.contains("is an object, and must be text"), "{error}");
    assert!(!error.contains('\u{1b}') && error.len() < 300, "{error}");
}

#[test]
fn text_unsafe_for_display_is_rejected_and_not_quoted() {
    for text in [r"x\u001b[2J", r"a\rb", r"a\nb", r"a\u202eb", r"a\u200bb"] {
        for json in [
            format!(r#"{{"text": "{text}"}}"#),
            format!(r#"{{"list": ["{text}"]}}"#),
            format!(r#"{{"project": "{text}"}}"#),
        ] {
            let error = read(&json).unwrap_err();
            assert!(
                error.ends_with("contains control or invisible characters"),
                "{error}"
            );
        }
    }
    let key = read(r#"{"secret": "a\n\tb"}"#).unwrap().secret.unwrap();
    assert_eq!(key.expose_secret(), "a\n\tb");
}

#[test]
fn project_is_text_or_a_whole_number() {
    for number in ["1e999", "-1", "1.5"] {
        read(&format!(r#"{{"project": {number}}}"#)).unwrap_err();
    }
    for (json, project) in [
        ("7", "7"),
        ("1e3", "1000"),
        (r#""my-project""#, "my-project"),
    ] {
        let example = read(&format!(r#"{{"project": {json}}}"#)).unwrap();
        assert_eq!(example.project.unwrap().into_string(), project);
    }
}

#[test]
fn last_of_duplicate_fields_counts() {
    let example = read(r#"{"text": "x", "text": "y"}"#).unwrap();
    assert_eq!(example.text.as_deref(), Some("y"));
}

#[test]
fn truncated_or_deeply_nested_json_is_an_error() {
    for text in [
        r#"{"private_key": "canary"#,
        r#"{"a": canary}"#,
        r#"{"a": 1} canary"#,
        &format!("{{\"a\": {}", "[".repeat(100_000)),
    ] {
        let error = JsonObject::parse(text, &Location::InMemory).unwrap_err();
        assert!(error.to_string().contains("JSON"), "{error}");
        assert!(!error.remedy().text.is_empty(), "{error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
    let lists = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let error = read(&format!(r#"{{"unknown": {lists}, "text": {lists}}}"#)).unwrap_err();
    assert!(error.contains("`text` is a list"), "{error}");
}

proptest::proptest! {
    #[test]
    fn text_is_read_as_serde_json_reads_it(text in "(?s).{0,60}") {
        let quoted = serde_json::to_string(&text).unwrap();
        assert_eq!(*unescaped(&quoted).unwrap(), text);
    }

    #[test]
    fn escapes_are_read_as_serde_json_reads_them(
        units in proptest::collection::vec(proptest::prop_oneof![
            proptest::num::u16::ANY,
            // Halves of surrogate pairs.
            0xd7f0_u16..0xe010,
        ], 0..12),
        plain in "[a-z ä]{0,3}",
    ) {
        let escaped = |unit: &u16| format!("\\u{unit:04x}{plain}");
        let quoted = format!("\"{}\"", units.iter().map(escaped).collect::<String>());
        let theirs = serde_json::from_str::<String>(&quoted).ok();
        let ours = unescaped(&quoted);
        assert_eq!(ours.as_ref().map(|text| text.as_str()), theirs.as_deref());
    }
}

use super::spans::MIN_BASE64;
use super::*;
use crate::secret::sanitize::sanitize_message;

#[test]
fn secrets_are_recognized_and_prose_is_kept() {
    for (text, expected) in [
        (
            "eyJhbGciOi.eyJpc3Mi.c2ln is expired",
            "[redacted] is expired",
        ),
        ("token=1//0gabc-DEF, sorry", "token=[redacted], sorry"),
        ("http://example.com/1//x", "http://example.com/1//x"),
        ("eyJ", "eyJ"),
        ("ya29.aaaa ya29.bbbb", "[redacted] [redacted]"),
        ("Nothing to hide: ÄÖÜ", "Nothing to hide: ÄÖÜ"),
        ("token=1%2F%2F0gabc&x=y", "token=[redacted]&x=y"),
        ("code: 4/0AbcDef.", "code: [redacted]"),
        ("at MS8vMGdiYWFhYWFhYWFhYWFhYWFh!", "at [redacted]!"),
        (
            "at ewogICJ0eXBlIjogImF1dGhvcml6\\nZWRfdXNl!",
            "at [redacted]!",
        ),
    ] {
        assert_eq!(redact(text, &[]), expected);
    }
}

/// Base64 of random bytes, like a key's.
fn random_base64(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let random: Vec<u8> = (0..bytes).map(|_| next()).collect();
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, random)
}

fn wrapped(text: &str, width: usize, end: &str) -> String {
    let lines: Vec<_> = text.as_bytes().chunks(width).collect();
    let lines = lines.iter().map(|line| std::str::from_utf8(line).unwrap());
    lines.collect::<Vec<_>>().join(end)
}

#[test]
fn keys_are_redacted_in_every_encoding_whole_and_truncated() {
    for bytes in [32, 121, 1200] {
        let key = random_base64(bytes);
        for end in ["\n", "\r\n", "\\n", "\\\\n", " ", "\\r\\n"] {
            let body = wrapped(&key, 64, end);
            let begin = "-----BEGIN PRIVATE KEY-----";
            let pem = format!("{begin}{end}{body}{end}-----END PRIVATE KEY-----{end}");
            let compact = serde_json::json!({"type": "service_account", "private_key": pem});
            let pretty = serde_json::to_string_pretty(&compact).unwrap();
            let compact = compact.to_string();
            let nested = serde_json::json!(compact).to_string();
            let form = byte_serialize(pem.as_bytes()).collect::<String>();
            let encoded =
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &compact);
            for whole in [
                pem.clone(),
                compact,
                pretty,
                nested,
                format!("private_key={form}&x=y"),
                form,
                wrapped(&encoded, 76, end),
                encoded.clone(),
            ] {
                let cuts = [0, 1, whole.len() / 3, whole.len() / 2];
                for (start, cut) in cuts.iter().flat_map(|a| cuts.iter().map(move |b| (a, b))) {
                    let part = &whole[*start..whole.len() - cut];
                    let text = format!("cannot open {part}: no such file");
                    let shown = redact(&text, &[]);
                    // The labels around the key are not secret.
                    let key_part = encoded.get(100..encoded.len() - 120).unwrap_or_default();
                    let pieces = [key.as_bytes(), key_part.as_bytes()];
                    let mut pieces = pieces.iter().flat_map(|p| p.windows(MIN_BASE64));
                    let leaked = pieces.find(|p| shown.contains(std::str::from_utf8(p).unwrap()));
                    assert_eq!(leaked, None, "{text:?} as {shown:?}");
                }
                let text = format!("cannot open {whole}");
                let shown = redact(&text, &[]);
                let mut pieces = key.as_bytes().windows(16);
                let leaked = pieces.find(|p| shown.contains(std::str::from_utf8(p).unwrap()));
                assert_eq!(leaked, None, "{text:?} as {shown:?}");
                assert!(shown.starts_with("cannot open "), "{shown}");
            }
        }
    }
}

#[test]
fn tokens_with_long_random_parts_are_redacted_whole() {
    let part = random_base64(60).replace(['+', '/', '='], "x");
    for token in [
        format!("ya29.{part}_{part}-short_tail"),
        format!("ya29.short_{part}-{}", &part[..20]),
        format!("eyJ{part}.eyJ{part}.abc_{part}-xYz"),
        format!("1//0g{part}_tail-{}", &part[..9]),
    ] {
        for text in [
            format!("bad {token}!"),
            format!("\"{token}\", x"),
            token.clone(),
        ] {
            let redacted = redact(&text, &[]);
            assert_eq!(redacted, text.replace(&token, REDACTED), "{text}");
        }
    }
}

#[test]
fn secret_fields_are_redacted_and_field_names_are_kept() {
    for (text, expected) in [
        (
            r#"{"client_secret": "d-FL95Q19", "type": "x"}"#,
            r#"{"client_secret": "[redacted]", "type": "x"}"#,
        ),
        (
            r#""{\"refresh_token\":\"a\\\"bcd\",\"x\":1}""#,
            r#""{\"refresh_token\":\"[redacted]\",\"x\":1}""#,
        ),
        ("{'refresh_token': 'abcd", "{'refresh_token': '[redacted]"),
        (
            "{type: authorized_user, client_secret: d-FL95Q19q7MQmFpd7hHD0Ty}",
            "{type: authorized_user, client_secret: [redacted]}",
        ),
        (
            "client_secret=abcd&refresh_token=efgh&x=y",
            "client_secret=[redacted]&refresh_token=[redacted]&x=y",
        ),
    ] {
        assert_eq!(redact(text, &[]), expected);
    }
    for text in [
        "grant_type=refresh_token&x=y",
        "the field `refresh_token` is missing",
        "Missing parameter: refresh_token",
        "refresh_token: expired",
        r#"{"private_key_id": "0123456789", "private_key": null}"#,
    ] {
        assert_eq!(redact(text, &[]), text);
    }
}

#[test]
fn paths_hashes_and_labels_are_not_redacted() {
    for text in [
        "no certificate in it (-----BEGIN CERTIFICATE-----), see the manual",
        "-----BEGIN PRIVATE KEY----- is missing",
        "/Users/JaneDoe/Documents/Work2024/EarthEngine/Rust/Credentials/Folder3/TheKeyFile",
        "/nix/store/0c5b8vw40dy178xlpddw65q9gf1h2186jcc3p4swinwggbllv8mk/bin/x",
        "sha256 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
        "https://accounts.google.com/o/oauth2/auth?code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstwcM&x=y",
    ] {
        assert_eq!(redact(text, &[]), text);
    }
}

#[test]
fn random_parameters_of_login_urls_are_not_redacted() {
    let random = random_base64(36_000).replace(['+', '/', '='], "");
    for at in 0..500 {
        let random = |part: usize| &random[84 * at + 42 * part..][..42];
        // Not the beginning of a key.
        let url = format!(
            "https://accounts.google.com/o/oauth2/auth?code_challenge=x{}&code_challenge_method=S256&state=x{}",
            random(0),
            random(1)
        );
        assert_eq!(redact(&url, &[]), url);
    }
}

#[test]
fn base64_after_an_equals_sign_is_redacted() {
    for padding in ["", "=", "=="] {
        let secret = "x".to_owned() + &random_base64(96).replace('=', "") + padding;
        assert_eq!(
            redact(&format!("--key={secret} is no path"), &[]),
            "--key=[redacted] is no path"
        );
    }
}

#[test]
fn long_hostile_text_takes_linear_time() {
    for piece in [
        "-----BEGIN ",
        "-----BEGIN X-----",
        "-----END ",
        "refresh_token=",
        "refresh_token=abcd&",
        "\"refresh_token\\\": ",
        "\\n",
        "aB3aB3aB3+",
    ] {
        // Quadratic time would take minutes.
        let text = piece.repeat((4 << 20) / piece.len());
        assert!(redact(&text, &[]).len() <= max_redacted_len(&text));
    }
}

#[test]
fn partial_and_encoded_secrets_are_redacted() {
    let secret = "K7dXq/2mVbT4sLw9+ZcR1yHn3Pg";
    for (text, expected) in [
        ("ends in …s4mVbT", "ends in …s4mVbT"),
        (
            "it ends in …T4sLw9+ZcR1yHn3Pg, no",
            "it ends in …[redacted], no",
        ),
        ("begins with K7dXq/2mVbT4s...", "begins with [redacted]"),
        ("a=K7dXq%2F2mVbT4sLw9%2BZcR1yHn3Pg&b=c", "a=[redacted]&b=c"),
        (
            r#"{"a":"K7dXq\/2mVbT4sLw9+ZcR1yHn3Pg"}"#,
            r#"{"a":"[redacted]"}"#,
        ),
        ("Ä K7dXq/2mVbT4sLw9 Ö", "Ä [redacted] Ö"),
    ] {
        assert_eq!(redact(text, &[secret]), expected);
    }
}

#[test]
fn secret_that_extends_another_is_redacted_whole() {
    let secrets = ["1//abcd", "1//abcdefgh"];
    assert_eq!(redact("<1//abcdefgh>", &secrets), "<[redacted]>");
}

proptest::proptest! {
    #[test]
    fn known_secret_is_redacted_at_every_position(
        pieces in proptest::collection::vec(".{0,12}", 1..5),
        secret in "[A-Za-z0-9_/.-]{8,40}",
        invisible in "[\u{ad}\u{34f}\u{115f}\u{17b4}\u{200b}\u{2060}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{e0041}\u{e0100}]",
    ) {
        let text = pieces.join(&secret);
        assert!(!redact(&text, &[&secret]).contains(&secret));
        assert!(!redact(&text, &[&secret[..5], &secret]).contains(&secret[5..]));
        // With invisible characters in it.
        let hidden = pieces.join(&secret.replace('a', &format!("a{invisible}")));
        assert!(!sanitize_message(&hidden, &[&secret]).contains(&secret));
    }
}

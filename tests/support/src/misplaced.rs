//! Keys, logins and tokens, in several encodings, that users put where a path belongs. Generated for
//! each run.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::canaries::{Canaries, random};

/// A text that is not a path.
#[derive(Debug)]
pub struct Misplaced {
    /// The kind and the encoding.
    pub name: String,
    /// The text.
    pub text: String,
    /// The name in messages.
    pub noun: String,
}

/// Returns one text of each kind in each encoding, and adds the secrets to the canaries.
pub fn all(canaries: &mut Canaries) -> Vec<Misplaced> {
    let mut all = Vec::new();
    let mut add = |name: &str, noun: &str, text: String| {
        all.push(Misplaced {
            name: name.to_owned(),
            text,
            noun: noun.to_owned(),
        });
    };
    let key = random(1600);
    canaries.add("a private key", &key);
    let pem = pem(&key);
    let account = json!({"type": "service_account", "project_id": "my-project",
        "private_key_id": "0123456789abcdef", "private_key": pem, "client_id": "1",
        "client_email": "robot@my-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token"});
    let login = json!({"type": "authorized_user", "client_id": "1-a.apps.googleusercontent.com",
        "client_secret": canaries.plant_word("a client secret", "GOC-"),
        "refresh_token": canaries.plant("a login's refresh token", "1//0g")});
    let file = json!({"client_id": "1-a.apps.googleusercontent.com", "project": "my-project",
        "refresh_token": canaries.plant_word("a file's refresh token", "")});
    let external = json!({"type": "external_account", "audience": "//iam.googleapis.com/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token", "client_id": "workforce",
        "client_secret": canaries.plant_word("a workforce client's secret", ""),
        "credential_source": {"file": "/run/token"}});
    for (name, noun, value) in [
        ("service account", "a service account key", &account),
        ("login", "a login", &login),
        ("Earth Engine file", "a login", &file),
        (
            "external account",
            "an external account configuration",
            &external,
        ),
    ] {
        let pretty = serde_json::to_string_pretty(value).unwrap();
        let compact = value.to_string();
        encoded(&mut add, name, noun, &compact);
        add(&format!("{name}, compact"), noun, compact.clone());
        add(&format!("{name}, in quotes"), noun, format!("'{compact}'"));
        let text = Value::from(compact.clone()).to_string();
        add(&format!("{name}, as a JSON text"), noun, text);
        let bare = compact.replace('"', "");
        add(&format!("{name}, without quotes"), noun, bare);
        let cut = &pretty[..pretty.len() - 3];
        add(&format!("{name}, cut off"), noun, cut.to_owned());
        add(
            &format!("{name}, after a byte order mark"),
            noun,
            format!("\u{feff}{pretty}"),
        );
        add(&format!("{name}, pretty"), noun, pretty);
    }
    let beginning = "{\"type\": \"service_account\", \"project_id\": ".len();
    let rest = account.to_string()[beginning..].to_owned();
    add("service account, rest", "a service account key", rest);
    let noun = "a private key";
    encoded(&mut add, "PEM", noun, &pem);
    add("PEM in one line", noun, pem.replace('\n', "\\n"));
    add("PEM with blanks", noun, pem.replace('\n', " "));
    add("PEM, cut off", noun, pem[..pem.len() - 40].to_owned());
    add("PEM, rest", noun, pem[40..].to_owned());
    add("PEM", noun, pem);
    let token = canaries.plant_word("an access token", "ya29.a0");
    add("Bearer", "an access token", format!("Bearer {token}"));
    encoded(&mut add, "access token", "an access token", &token);
    add("access token", "an access token", token);
    let token = canaries.plant_word("a refresh token", "1//0g");
    encoded(&mut add, "refresh token", "a refresh token", &token);
    add("refresh token", "a refresh token", token);
    let secret = canaries.plant_word("a bare client secret", "GOCSPX-");
    add("client secret", "an OAuth client secret", secret);
    // As long as a signature with RS256.
    let (claims, signature) = (random(200), random(342));
    canaries.add("a JWT's claims", &claims);
    canaries.add("a JWT's signature", &signature);
    let jwt = format!("eyJhbGciOiJSUzI1NiJ9.eyJ{claims}.{signature}");
    add("JWT", "a JSON Web Token", jwt);
    all
}

/// Adds the text in base64, in one line and wrapped.
fn encoded(add: &mut impl FnMut(&str, &str, String), name: &str, noun: &str, text: &str) {
    let noun = format!("base64 of {noun}");
    let whole = STANDARD.encode(text);
    for (how, width, end) in [
        ("wrapped", 76, "\n"),
        ("wrapped by a mail program", 64, "\r\n"),
        ("wrapped with blanks", 76, " "),
    ] {
        let wrapped = lines(&whole, width).join(end);
        add(&format!("base64 of {name}, {how}"), &noun, wrapped);
    }
    let for_urls = URL_SAFE_NO_PAD.encode(text);
    add(&format!("base64url of {name}"), &noun, for_urls);
    let cut = whole[..whole.len() - 7].to_owned();
    add(&format!("base64 of {name}, cut off"), &noun, cut);
    add(&format!("base64 of {name}"), &noun, whole);
}

fn lines(text: &str, width: usize) -> Vec<&str> {
    let lines = text.as_bytes().chunks(width);
    lines
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect()
}

fn pem(key: &str) -> String {
    let body = lines(key, 64).join("\n");
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

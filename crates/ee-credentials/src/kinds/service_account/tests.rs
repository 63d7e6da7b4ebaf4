use ee_emulator::{Emulator, Fault, RecordedRequest, RsaKey};
use ee_token::ErrorKind as Token;
use serde_json::{Value, json};

use super::*;
use crate::Credentials;
use crate::options::options;

const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const PROJECT: &str = "ee-demo-project";

async fn emulator() -> (Emulator, ee_emulator::ServiceAccount, CredentialOptions) {
    let emulator = Emulator::start().await.unwrap();
    let account = emulator.create_service_account(ROBOT, PROJECT);
    let options = options(&emulator);
    (emulator, account, options)
}

/// Returns the header and the claims of a JWT.
fn parts(jwt: &str) -> (Value, Value) {
    let mut parts = jwt.split('.').map(|part| {
        let bytes = base64url(part);
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

fn base64url(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for c in text.bytes() {
        bits = (bits << 6) | u32::from(value(c));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn claims(request: &RecordedRequest) -> (Value, Value) {
    parts(&request.form()["assertion"])
}

#[tokio::test]
async fn service_account_assertion_has_these_claims() {
    let (emulator, account, options) = emulator().await;
    let credentials = Credentials::from_json(&account.json_key(), &options).unwrap();
    assert_eq!(credentials.kind(), CredentialKind::ServiceAccount);
    assert_eq!(credentials.principal(), Some(ROBOT));
    assert_eq!(credentials.project(), Some(PROJECT));
    assert_eq!(credentials.scopes(), Some(&Scopes::earth_engine()));
    let before = Utc::now().timestamp();
    credentials.token().await.unwrap();

    let requests = emulator.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (requests[0].host.as_str(), requests[0].path.as_str()),
        ("oauth2.googleapis.com", "/token")
    );
    let form = requests[0].form();
    assert_eq!(form.len(), 2);
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let (header, claims) = claims(&requests[0]);
    assert_eq!(
        header,
        json!({"alg": "RS256", "typ": "JWT", "kid": account.private_key_id()})
    );
    let iat = claims["iat"].as_i64().unwrap();
    assert!((before..before + 60).contains(&iat));
    assert_eq!(
        claims,
        json!({
            "iss": ROBOT,
            "aud": "https://oauth2.googleapis.com/token",
            "scope": "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/cloud-platform",
            "iat": iat,
            "exp": iat + 3600,
        })
    );
}

#[tokio::test]
async fn pem_and_email_make_a_credential() {
    let (emulator, account, options) = emulator().await;
    for pem in [
        account.pkcs8_pem().to_owned(),
        account.pkcs1_pem().replace('\n', "\\n"),
    ] {
        let credentials = Credentials::from_pem(&pem, ROBOT, &options).unwrap();
        credentials.token().await.unwrap();
    }
    let (header, _) = claims(&emulator.requests()[0]);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    let error = Credentials::from_pem("no key", ROBOT, &options).unwrap_err();
    assert!(!error.to_string().contains("the field"), "{error}");
    let error = Credentials::from_pem(account.pkcs8_pem(), " ", &options).unwrap_err();
    assert!(error.to_string().contains("address"));
}

#[tokio::test]
async fn delegated_subject_must_be_allowed() {
    let (emulator, account, options) = emulator().await;
    let options = options
        .subject("jane@example.com")
        .scopes(Scopes::new(["earthengine"]));
    let credentials = || Credentials::from_json(&account.json_key(), &options).unwrap();
    let error = credentials().token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    assert!(error.remedy().text.contains("domain-wide delegation"));

    emulator.allow_delegation(ROBOT, "jane@example.com");
    assert_eq!(credentials().principal(), Some("jane@example.com"));
    credentials().token().await.unwrap();
    let (_, claims) = claims(&emulator.requests()[1]);
    assert_eq!(claims["sub"], "jane@example.com");
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/earthengine"
    );
}

#[tokio::test]
async fn self_signed_jwt_is_used_without_a_request() {
    let (emulator, account, options) = emulator().await;
    let options = options.self_signed_jwt(true);
    let key = account.json_key();
    let credentials = Credentials::from_json(&key, &options).unwrap();
    let token = credentials.token().await.unwrap();
    let (_, claims) = parts(token.secret());
    assert_eq!(claims["iss"], ROBOT);
    assert_eq!(claims["sub"], ROBOT);
    assert_eq!(claims["aud"], "https://earthengine.googleapis.com/");
    assert!(claims.get("scope").is_none());
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        3600
    );
    let lifetime = token.expires_at().unwrap() - Utc::now();
    assert!(lifetime > TimeDelta::minutes(59) && lifetime <= LIFETIME);

    // Earth Engine accepts it.
    let url = "https://earthengine.googleapis.com/v1/projects/ee-demo-project/config";
    let mut request = ee_token::Request::new(http::Method::GET, url.parse().unwrap());
    let headers = request.headers_mut();
    headers.insert("authorization", token.header().clone());
    let response = options.http.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    emulator.clear_requests();

    let narrow = options
        .clone()
        .scopes(Scopes::new(["earthengine.readonly"]));
    let credentials = Credentials::from_json(&key, &narrow).unwrap();
    let token = credentials.token().await.unwrap();
    let (_, claims) = parts(token.secret());
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/earthengine.readonly"
    );
    assert!(claims.get("aud").is_none());
    assert!(emulator.requests().is_empty());

    let error = Credentials::from_json(&key, &options.subject("jane@example.com")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
}

#[tokio::test]
async fn assertion_goes_to_token_uri_with_googles_audience() {
    let (emulator, account, options) = emulator().await;
    let mut file: Value = serde_json::from_str(&account.json_key()).unwrap();
    file["token_uri"] = json!("https://www.googleapis.com/oauth2/v4/token");
    let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
    // Whether the older endpoint accepts the newer audience does not matter here.
    let _ = credentials.token().await;
    let request = &emulator.requests()[0];
    assert_eq!(
        (request.host.as_str(), request.path.as_str()),
        ("www.googleapis.com", "/oauth2/v4/token")
    );
    assert_eq!(claims(request).1["aud"], JWT_BEARER_AUDIENCE);

    file["token_uri"] = json!("https://tokens.example.com/t");
    let error = Credentials::from_json(&file.to_string(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisallowedHost);
    assert!(error.to_string().contains("tokens.example.com"));
    let allowed = options.allow_host("tokens.example.com");
    let credentials = Credentials::from_json(&file.to_string(), &allowed).unwrap();
    let _ = credentials.token().await;
    assert_eq!(emulator.requests()[1].host, "tokens.example.com");
}

#[tokio::test]
async fn rejected_key_is_named_with_a_remedy() {
    let (emulator, account, options) = emulator().await;
    for (description, command) in [
        (
            "Invalid JWT Signature.",
            format!("gcloud iam service-accounts keys list --iam-account={ROBOT}"),
        ),
        (
            "Invalid grant: account not found",
            format!("gcloud iam service-accounts describe {ROBOT}"),
        ),
        (
            "The OAuth client was disabled.",
            format!("gcloud iam service-accounts enable {ROBOT}"),
        ),
    ] {
        let body = json!({"error": "invalid_grant", "error_description": description});
        emulator.fault("oauth2.googleapis.com", Fault::status(400).json(&body));
        let credentials = Credentials::from_json(&account.json_key(), &options).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
        assert_eq!(error.principal(), Some(ROBOT));
        let message = error.to_string();
        assert!(message.contains(description), "{message}");
        assert!(message.contains(account.private_key_id()), "{message}");
        let remedy = error.remedy();
        assert_eq!(remedy.command, Some(command));
        assert!(
            remedy
                .url
                .as_deref()
                .unwrap()
                .ends_with("?project=ee-demo-project")
        );
    }
}

#[tokio::test]
async fn unsafe_account_name_stays_out_of_commands() {
    let (emulator, account, options) = emulator().await;
    let name = "x;curl e|sh #@p.example";
    let mut file: Value = serde_json::from_str(&account.json_key()).unwrap();
    file["client_email"] = json!(name);
    file["project_id"] = json!("x&y=$(id)");
    for description in [
        "Invalid JWT Signature.",
        "Invalid grant: account not found",
        "The OAuth client was disabled.",
        "Invalid JWT: no.",
    ] {
        let body = json!({"error": "invalid_grant", "error_description": description});
        emulator.fault("oauth2.googleapis.com", Fault::status(400).json(&body));
        let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.principal(), Some(name));
        let remedy = error.remedy();
        let command = remedy.command.as_deref().unwrap_or("ACCOUNT");
        assert!(command.ends_with("ACCOUNT"), "{command}");
        let url = remedy.url.as_deref().unwrap();
        assert!(url.ends_with("?project=x%26y%3D%24%28id%29"), "{url}");
    }
}

#[tokio::test]
async fn unavailable_token_endpoint_is_transient() {
    let (emulator, account, options) = emulator().await;
    emulator.fault("oauth2.googleapis.com", Fault::status(503).times(10));
    let credentials = Credentials::from_json(&account.json_key(), &options).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.principal(), Some(ROBOT));
}

#[test]
fn invalid_service_account_fields_are_named() {
    let valid = json!({
        "type": "service_account",
        "client_email": ROBOT,
        "private_key": RsaKey::shared().pkcs8_pem(),
    });
    assert!(ServiceAccountKey::from_json(&valid.to_string()).is_ok());
    let error_of = |field: &str, value: Value| {
        let mut file = valid.clone();
        file[field] = value;
        let options = CredentialOptions::default();
        let error = Credentials::from_json(&file.to_string(), &options).unwrap_err();
        assert!(error.to_string().contains(field), "{field}: {error}");
        assert!(!error.remedy().text.is_empty());
        let shown = format!("{error:?}");
        assert!(
            !shown.contains("canary") && !shown.contains("MII"),
            "{shown}"
        );
        error
    };
    for field in ["client_email", "private_key"] {
        for bad in [json!(null), json!(""), json!(7), json!({"canary": 1})] {
            assert_eq!(error_of(field, bad).kind(), ErrorKind::InvalidFile);
        }
    }
    for field in [
        "private_key_id",
        "project_id",
        "token_uri",
        "quota_project_id",
        "universe_domain",
    ] {
        assert_eq!(
            error_of(field, json!(["canary"])).kind(),
            ErrorKind::InvalidFile
        );
    }
    let pem = RsaKey::shared().pkcs8_pem();
    for (bad, why) in [
        (json!("canary"), "not PEM"),
        (json!(pem[..600]), "truncated"),
        (json!(pem.replace("PRIVATE", "EC PRIVATE")), "elliptic"),
        (json!(RsaKey::generate(1024).pkcs8_pem()), "2048"),
    ] {
        assert!(error_of("private_key", bad).to_string().contains(why));
    }
    assert_eq!(
        error_of("token_uri", json!("nonsense")).kind(),
        ErrorKind::InvalidFile
    );
    let foreign = error_of("universe_domain", json!("example.net"));
    assert_eq!(foreign.kind(), ErrorKind::UnsupportedUniverse);
}

#[test]
fn other_json_is_not_a_service_account_key() {
    for text in [r#"{"type": "authorized_user"}"#, "{}", "", "x"] {
        let error = ServiceAccountKey::from_json(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{text}");
    }
}

#[tokio::test]
async fn private_key_is_never_shown() {
    let (_emulator, account, options) = emulator().await;
    let key = ServiceAccountKey::from_json(&account.json_key()).unwrap();
    assert_eq!(key.key_id(), Some(account.private_key_id()));
    let credentials = Credentials::from_service_account_key(key.clone(), &options).unwrap();
    let shown = format!("{key:?} {credentials:?} {:?}", credentials.token_cache());
    let body = account.pkcs8_pem().lines().nth(3).unwrap();
    assert!(!shown.contains(body), "{shown}");
    assert!(shown.contains("2048 bits"));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(16))]

    #[test]
    fn pem_is_parsed_with_any_line_breaks(
        width in 1_usize..200,
        end in proptest::sample::select(vec!["\n", "\r\n", "\\n"]),
    ) {
        let pem = RsaKey::shared().pkcs8_pem();
        let lines: Vec<&str> = pem.trim().lines().collect();
        let [begin, body @ .., last] = lines.as_slice() else {
            panic!("not PEM");
        };
        let body = body.concat();
        let body: Vec<&str> = body
            .as_bytes()
            .chunks(width)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let pem = [begin, body.join(end).as_str(), last].join(end);
        ServiceAccountKey::from_pem(&pem, ROBOT).unwrap();
    }
}
